"""What model a LoRA seems to be for, told by the names and widths of its modules; for errors."""

import re
from collections.abc import Mapping

NAMES = (
    ("FLUX", r"(^|_)(double|single)_blocks_|(^|_)single_transformer_blocks_"),
    ("Qwen-Image", r"^transformer_blocks_\d+_(img|txt)_(mod|mlp)"),
    ("Z-Image", r"^layers_\d+_(attention|feed_forward|adaLN)"),
    ("SD3", r"(^|_)joint_blocks_|^transformer_blocks_\d+_(attn_add_|norm1_context|ff_context)"),
    ("SANA or PixArt", r"^transformer_blocks_\d+_attn2_"),
    ("Wan", r"^blocks_\d+_(self|cross)_attn_"),
    ("a UNet", r"(^|_)(down|up|input|output)_blocks_|(^|_)mid(dle)?_block_"),
    ("a text encoder", r"(^|_)encoder_layers_\d+_self_attn_"),
)
UNETS = {768: "SD 1", 1024: "SD 2", 2048: "SDXL"}
TEXT_KEYS = re.compile(r"_attn2_(processor_)?to_[kv]$")


def origin(widths: Mapping[str, int]) -> str:
    """widths: flattened module name -> its inputs."""
    name = next((name for name, pattern in NAMES if any(re.search(pattern, module) for module in widths)), None)
    if name is None:
        return "an unknown model"
    text = max((width for module, width in widths.items() if TEXT_KEYS.search(module)), default=None)
    if name != "a UNet" or text is None:
        return name
    return UNETS.get(text, f"a UNet whose text has {text} features")

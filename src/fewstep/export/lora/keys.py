"""The keys of LoRA files: which network, which of its modules, and which factor of the update a tensor is.

A key is PREFIX MODULE SUFFIX. Modules are told flattened, '.' as '_', since kohya's keys are so and have no way back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fewstep.errors import InputError

Part = Literal["down", "up", "alpha"]
DENOISERS = ("unet", "transformer")
PREFIXES: Mapping[str, tuple[str, ...]] = {
    "lora_unet_": DENOISERS,  # kohya's, of transformers too
    "lora_transformer_": ("transformer",),
    "lora_te_": ("text_encoder",),
    "lora_te1_": ("text_encoder",),
    "lora_te2_": ("text_encoder_2",),
    "lora_te3_": ("text_encoder_3",),
    "unet.": ("unet",),
    "transformer.": ("transformer",),
    "text_encoder.": ("text_encoder",),
    "text_encoder_2.": ("text_encoder_2",),
    "text_encoder_3.": ("text_encoder_3",),
    "diffusion_model.": DENOISERS,
}
SUFFIXES: Mapping[str, Part] = {
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    "_lora.down.weight": "down",
    "_lora.up.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    "_lora.alpha": "alpha",
    ".alpha": "alpha",
}
OTHERS: Mapping[str, str] = {
    ".hada_": "a LoHa",
    ".lokr_": "a LoKr",
    ".oft_": "an OFT",
    ".dora_scale": "a DoRA",
    ".lora_magnitude_vector": "a DoRA",
    ".lora_mid.": "a LoCon of three factors",
    ".lora_B.bias": "a LoRA with biases",
    ".lora_B.default.bias": "a LoRA with biases",
    ".lora_up.bias": "a LoRA with biases",
    ".diff_b.": "full differences of biases",
    ".diff.": "full differences of weights",
}
SUPPORTED = "a LoRA of linear layers and convolutions, with a down, an up and perhaps an alpha for each"


@dataclass(frozen=True)
class Key:
    """stem: the key without its suffix; roles: the networks it may be of; module: flattened."""

    stem: str
    part: Part
    roles: tuple[str, ...]
    module: str


def flatten(module: str) -> str:
    return module.replace(".", "_")


def read_key(key: str) -> Key | None:
    """None for a key of no style known. Raises InputError for one of another method than LoRA, naming it."""
    for mark, method in OTHERS.items():
        if mark in f"{key}.":
            raise InputError(f"{key} is of {method}, which fewstep does not read; it reads {SUPPORTED}")
    if key.startswith("base_model.model."):
        raise InputError(
            f"{key} is of a folder of PEFT, whose alpha is in adapter_config.json; "
            "save it by save_lora_weights of a pipeline of diffusers"
        )
    suffix = next((suffix for suffix in SUFFIXES if key.endswith(suffix)), None)
    if suffix is None:
        return None
    stem = key.removesuffix(suffix)
    prefix = next((prefix for prefix in PREFIXES if stem.startswith(prefix)), "")
    return Key(stem, SUFFIXES[suffix], PREFIXES.get(prefix, DENOISERS), flatten(stem.removeprefix(prefix)))

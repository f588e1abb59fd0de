"""The names that Stability's code (LDM, later SGM) gives the modules of a UNet; LoRAs of SDXL go by them.

input_blocks.0.0 is conv_in; then each resnet, with its attention, and each downsampler is one block. The last output
block of a level has the upsampler at its end.
"""

from collections.abc import Iterable, Iterator
from itertools import count, takewhile

TOP = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
INNER = {
    "resnets": {
        "conv1": "in_layers.2",
        "conv2": "out_layers.3",
        "time_emb_proj": "emb_layers.1",
        "conv_shortcut": "skip_connection",
    },
    "downsamplers": {"conv": "op"},
}


def ldm_names(modules: Iterable[str]) -> dict[str, str]:
    """LDM's name of each module that has one, by diffusers' name; the blocks are counted by the modules themselves."""
    names = list(modules)
    blocks = TOP | dict(_blocks({_head(name, 4) for name in names}))
    out = {}
    for name in names:
        block = next((head for n in (4, 3, 2, 1) if (head := _head(name, n)) in blocks), None)
        if block is None:
            continue
        inner = name[len(block) + 1 :]
        kind = next((kind for kind in INNER if f".{kind}." in name), "")
        inner = INNER.get(kind, {}).get(inner, inner)
        out[name] = f"{blocks[block]}.{inner}" if inner else blocks[block]
    return out


def _head(name: str, parts: int) -> str:
    return ".".join(name.split(".")[:parts])


def _blocks(heads: set[str]) -> Iterator[tuple[str, str]]:
    place = 1
    for level in _levels("down_blocks", heads):
        for j in _resnets(level, heads):
            yield f"{level}.resnets.{j}", f"input_blocks.{place}.0"
            yield f"{level}.attentions.{j}", f"input_blocks.{place}.1"
            place += 1
        if f"{level}.downsamplers.0" in heads:
            yield f"{level}.downsamplers.0", f"input_blocks.{place}.0"
            place += 1
    place = 0
    for level in _levels("up_blocks", heads):
        for j in _resnets(level, heads):
            yield f"{level}.resnets.{j}", f"output_blocks.{place}.0"
            yield f"{level}.attentions.{j}", f"output_blocks.{place}.1"
            place += 1
        last = 2 if f"{level}.attentions.0" in heads else 1
        yield f"{level}.upsamplers.0", f"output_blocks.{place - 1}.{last}"


def _levels(blocks: str, heads: set[str]) -> Iterator[str]:
    return takewhile(lambda level: f"{level}.resnets.0" in heads, (f"{blocks}.{i}" for i in count()))


def _resnets(level: str, heads: set[str]) -> Iterator[int]:
    return takewhile(lambda j: f"{level}.resnets.{j}" in heads, count())

"""Which numbers of a plan are kept in which type."""

from collections.abc import Mapping
from dataclasses import dataclass

FINISH = "finish"
TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Types:
    """Of the floats in a stage: those in memory, those that it leaves, and the weights in the file."""

    values: str
    outputs: str
    weights: str


def stage_types(precision: str, device: str) -> Mapping[str, Types]:
    """By stage; precision: a key of TYPES.

    A GPU computes in `precision`; what stays float32 are the times (their sines mean nothing in half), the
    sampler's state and the output that it reads, and a decoder in half precision, where SDXL's leaves the range. A CPU
    stores the weights so, and widens them when the plan is opened.
    """
    type = TYPES[precision]
    if device == "cpu":
        return dict.fromkeys(("network", "tables", "prompt", "modulation", "step", FINISH), Types("f32", "f32", type))
    exact, inner, last = Types("f32", "f32", "f32"), Types(type, type, type), Types(type, "f32", type)
    decoder = exact if type == "f16" else last
    return {"network": last, "tables": exact, "prompt": inner, "modulation": inner, "step": last, FINISH: decoder}

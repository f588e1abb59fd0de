"""Operations before their values have numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fewstep.errors import LoweringError
from fewstep.export.lower.views import View

# What an attribute is where the graph does not say; those without a default are always said.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "conv2d": {
        "stride": [1, 1], "padding": [0, 0, 0, 0], "dilation": [1, 1], "groups": 1, "activation": "", "scale": 1.0,
        "upsample": 1,
    },
    "matmul": {"activation": "", "scale": 1.0, "glu": ""},
    "group_norm": {"groups": None, "eps": None, "activation": ""},
    "layer_norm": {"eps": None},
    "rms_norm": {"eps": None},
    "attention": {"scale": None, "causal": 0},
    "softmax": {},
    "reduce": {"kind": None, "axes": None},
    "gather": {},
}  # fmt: skip


@dataclass(frozen=True)
class Draft:
    """program.Op with views for values."""

    op: str
    name: str
    inputs: tuple[View | None, ...]
    outputs: tuple[View, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DraftStage:
    name: str
    ops: tuple[Draft, ...]
    steps: int = 0


def complete(op: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of an operation, all of them. Raises LoweringError for one that is unknown or missing."""
    known = DEFAULTS[op]
    if unknown := given.keys() - known.keys():
        raise LoweringError(f"node {name}: {op}: expected attributes {', '.join(known)}, got {', '.join(unknown)}")
    out = {**known, **given}
    if missing := [key for key, value in out.items() if value is None]:
        raise LoweringError(f"node {name}: {op}: attribute {', '.join(missing)} is missing")
    return out


def copy(name: str, source: View, target: View) -> Draft:
    return Draft("map", name, (source,), (target,), {"code": []})


def constant(name: str, target: View, value: float = 0.0) -> Draft:
    return Draft("map", name, (), (target,), {"code": [["const", value]]})

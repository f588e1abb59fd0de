"""A LoRA as data: low-rank updates of a model's weights (arXiv:2106.09685)."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

Place = tuple[str, str]  # a network's role and the name of a module in it


@dataclass(frozen=True)
class Target:
    """W += strength * scale * (up.flatten(1) @ down.flatten(1)).view_as(W).

    down: (r, I) or (r, I, kH, kW); up: (O, r) or (O, r, 1, 1); both float16, bfloat16 or float32. scale: alpha / r.
    """

    down: Tensor
    up: Tensor
    scale: float


@dataclass(frozen=True)
class Lora:
    """name: what errors call it."""

    name: str
    targets: Mapping[Place, Target]

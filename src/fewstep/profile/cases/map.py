"""What lies between a plan's other kernels: arithmetic over operands that repeat, copies from one layout to another."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor

from fewstep.kernels.map import map, map_cost, map_launches, map_ref
from fewstep.kernels.map_code import Instruction
from fewstep.profile.case import Case, Inputs, normal

Shape = tuple[int, ...]
ROTATION = (("mul", 0, 1), ("mul", 2, 3), ("add", 4, 5))
GATED = (("mul", 0, 1), ("add", 3, 2))
EMBEDDED = (("add", 0, 1), ("add", 4, 2), ("add", 5, 3), ("silu", 6))


@dataclass(frozen=True)
class Sum:
    """code over operands that repeat along their axes of 1, the first of them float32 where is_wide."""

    shape: Shape
    operands: tuple[Shape, ...]
    code: tuple[Instruction, ...]
    is_wide: bool = False


@dataclass(frozen=True)
class Copy:
    """Axes of source and target from the farthest apart to the nearest; target: a part of rows so many times as wide.

    repeated: axes that the source has once.
    """

    shape: Shape
    source: Shape
    target: Shape
    times: int = 1
    repeated: Shape = ()


SUMS = {  # families: what is computed
    ("toons16 labels",): Sum((4, 192), ((4, 192), (1, 192), (1, 192), (1, 192)), EMBEDDED, is_wide=True),
    ("toons16 angles",): Sum((7, 24), ((7, 1), (1, 24)), (("mul", 0, 1), ("cos", 2))),
    ("flux-schnell rotation",): Sum(
        (4352, 24, 128), ((4352, 24, 128), (4352, 1, 128), (4352, 24, 128), (4352, 1, 128)), ROTATION
    ),
    ("flux-schnell gate",): Sum((4096, 3072), ((4096, 3072), (1, 3072), (4096, 3072)), GATED),
    ("beyond L2",): Sum((8192, 8192), ((8192, 8192), (8192, 8192)), (("add", 0, 1), ("silu", 2))),
}
COPIES = {  # families: what is moved
    ("toons16 pixel shuffle",): Copy((48, 8, 2, 8, 2), (1, 3, 0, 2, 4), (1, 2, 3, 4, 0), times=2),
    ("dit-xl patches",): Copy((8, 16, 2, 16, 2), (1, 3, 2, 4, 0), (0, 1, 2, 3, 4)),
    ("sd-turbo skip",): Copy((4096, 320), (0, 1), (0, 1), times=3),
    ("cd_imagenet64 last",): Copy((192, 64, 64), (0, 1, 2), (1, 2, 0)),
    ("cd_imagenet64 first",): Copy((192, 64, 64), (1, 2, 0), (0, 1, 2)),
    ("cd_imagenet64 enlarged",): Copy((384, 32, 2, 32, 2), (0, 1, 2, 3, 4), (1, 2, 3, 4, 0), repeated=(2, 4)),
}


def make_sum(device: str, dtype: torch.dtype, seed: int, *, what: Sum) -> Inputs:
    dtypes = [torch.float32 if what.is_wide and not k else dtype for k in range(len(what.operands))]
    operands = [
        normal(device, kind, seed + k, *shape).expand(what.shape)
        for k, (kind, shape) in enumerate(zip(dtypes, what.operands, strict=True))
    ]
    return {"inputs": operands, "code": what.code, "out": torch.empty(what.shape, dtype=dtype, device=device)}


def make_copy(device: str, dtype: torch.dtype, seed: int, *, what: Copy) -> Inputs:
    held = [1 if axis in what.repeated else size for axis, size in enumerate(what.shape)]
    x = _ordered(normal(device, dtype, seed, prod(held)), held, what.source).expand(what.shape)
    last = what.target[-1]
    wide = [size * what.times if axis == last else size for axis, size in enumerate(what.shape)]
    out = _ordered(torch.empty(prod(wide), dtype=dtype, device=device), wide, what.target)
    return {"inputs": [x], "code": (), "out": out.narrow(last, 0, what.shape[last])}


def _ordered(flat: Tensor, shape: Sequence[int], order: Shape) -> Tensor:
    """(*shape), its axes in memory as order says, from the farthest apart to the nearest."""
    return flat.view([shape[axis] for axis in order]).permute([order.index(axis) for axis in range(len(shape))])


def copied(inputs: Sequence[Tensor], code: Sequence[Instruction], out: Tensor) -> Tensor:
    return out.copy_(inputs[0])


def described(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)


FUNCTIONS = (map, map_ref, map_launches, map_cost)
MOVES = (map, copied, map_launches, map_cost)
CASES = [
    Case("map", f"{described(what.shape)} {what.code[-1][0]}", families, partial(make_sum, what=what), *FUNCTIONS)
    for families, what in SUMS.items()
] + [
    Case(
        "map",
        f"{described(what.shape)} from {''.join(str(axis) for axis in what.source)}",
        families,
        partial(make_copy, what=what),
        *MOVES,
    )
    for families, what in COPIES.items()
]

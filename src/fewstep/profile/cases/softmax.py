"""Softmax where a plan's attention is not one kernel, and rows that no program holds."""

from functools import partial

import torch

from fewstep.kernels.softmax import softmax, softmax_cost, softmax_launches, softmax_ref
from fewstep.profile.case import Case, Inputs, normal

SHAPES = {  # (..., D): families
    (4, 64, 64): ("toons16",),
    (16, 77, 77): ("clip-h",),
    (5, 4096, 77): ("sd-turbo cross",),
    (5, 4096, 4096): ("sd-turbo",),
    (4096, 16384): ("beyond L2",),
}


def make(device: str, dtype: torch.dtype, seed: int, *, shape: tuple[int, ...]) -> Inputs:
    return {"x": normal(device, dtype, seed, *shape)}


CASES = [
    Case(
        "softmax",
        "x".join(map(str, shape)),
        families,
        partial(make, shape=shape),
        softmax,
        softmax_ref,
        softmax_launches,
        softmax_cost,
    )
    for shape, families in SHAPES.items()
]

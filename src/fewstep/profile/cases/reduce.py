"""Reductions at the families' shapes: pooling of 2 x 2 pixels in both layouts, and long rows beyond the L2 cache."""

from functools import partial

import torch

from fewstep.kernels.reduce import reduce, reduce_cost, reduce_launches, reduce_ref
from fewstep.profile.case import Case, Inputs, normal

POOLED = {  # (C, side of x): families
    (192, 64): ("cd_imagenet64",),
    (384, 32): ("cd_imagenet64",),
}
LONG = (4096, 16384)


def make_pool(device: str, dtype: torch.dtype, seed: int, *, C: int, side: int, is_last: bool) -> Inputs:
    """(1, C, side / 2, side / 2, 2, 2), a view of the picture."""
    x = normal(device, dtype, seed, 1, C, side, side)
    x = x.to(memory_format=torch.channels_last) if is_last else x
    half = side // 2
    return {"x": x.unflatten(2, (half, 2)).unflatten(4, (half, 2)).permute(0, 1, 2, 4, 3, 5), "kind": "mean", "axes": 2}


def make_rows(device: str, dtype: torch.dtype, seed: int, *, kind: str) -> Inputs:
    return {"x": normal(device, dtype, seed, *LONG), "kind": kind}


FUNCTIONS = (reduce, reduce_ref, reduce_launches, reduce_cost)
CASES = [
    Case(
        "reduce",
        f"1x{C}x{side}x{side} mean of 2x2{' nhwc' * is_last}",
        families,
        partial(make_pool, C=C, side=side, is_last=is_last),
        *FUNCTIONS,
    )
    for (C, side), families in POOLED.items()
    for is_last in (True, False)
] + [
    Case("reduce", f"{'x'.join(map(str, LONG))} {kind}", ("beyond L2",), partial(make_rows, kind=kind), *FUNCTIONS)
    for kind in ("sum", "max")
]

"""ReLU linear attention at the families' shapes."""

from functools import partial

import torch

from fewstep.kernels.linear_attention import (
    linear_attention,
    linear_attention_cost,
    linear_attention_launches,
    linear_attention_ref,
)
from fewstep.profile.case import Case, Inputs, normal

SHAPES = {  # (B, N, H, D): families
    (1, 1024, 36, 32): ("sana-sprint-0.6b",),
    (1, 1024, 70, 32): ("sana-sprint-1.6b",),
    (8, 1024, 70, 32): ("sana-sprint-1.6b of 8 images",),
    (1, 4096, 64, 32): ("dc-ae decoder",),
}


def make(device: str, dtype: torch.dtype, seed: int, *, B: int, N: int, H: int, D: int) -> Inputs:
    return {name: normal(device, dtype, seed + i, B, N, H, D) for i, name in enumerate("qkv")}


CASES = [
    Case(
        "linear_attention",
        f"{B}x{N}x{H}x{D}",
        families,
        partial(make, B=B, N=N, H=H, D=D),
        linear_attention,
        linear_attention_ref,
        linear_attention_launches,
        linear_attention_cost,
    )
    for (B, N, H, D), families in SHAPES.items()
]

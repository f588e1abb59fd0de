"""Where a generation begins, at the families' latents and beyond the L2 cache."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from fewstep.kernels.initial_state import (
    initial_state,
    initial_state_cost,
    initial_state_launches,
    initial_state_ref,
)
from fewstep.profile.case import Case, Inputs

SHAPES = {  # families: (B, shape)
    ("sd-turbo", "sdxl-turbo"): (1, (4, 64, 64)),
    ("sana-sprint",): (1, (32, 32, 32)),
    ("flux-schnell",): (1, (16, 128, 128)),
    ("beyond L2",): (128, (16, 128, 128)),
}


def make(device: str, dtype: torch.dtype, seed: int, *, B: int, shape: tuple[int, ...]) -> Inputs:
    seeds = torch.arange(seed, seed + B, dtype=torch.int64, device=device)
    scales = torch.full((2,), 0.75, device=device)
    return {"seeds": seeds, "scales": scales, "shape": shape, "dtype": dtype}


def reference(seeds: Tensor, scales: Tensor, shape: Sequence[int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Eager PyTorch, its noise from its own generator."""
    return initial_state_ref(torch.randn((len(seeds), *shape), device=seeds.device), scales, dtype)


CASES = [
    Case(
        "initial_state",
        "x".join(map(str, (B, *shape))),
        families,
        partial(make, B=B, shape=shape),
        initial_state,
        reference,
        initial_state_launches,
        initial_state_cost,
    )
    for families, (B, shape) in SHAPES.items()
]

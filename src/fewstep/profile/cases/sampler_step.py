"""The sampler's update at the families' latents, with fresh noise, and beyond the L2 cache."""

from functools import partial

import torch
from torch import Tensor

from fewstep.kernels.sampler_step import (
    COLUMNS,
    sampler_step,
    sampler_step_cost,
    sampler_step_launches,
    sampler_step_ref,
)
from fewstep.profile.case import Case, Inputs, normal

STEPS = 4
SHAPES = {  # families: (shape, whether noise is drawn, whether a history is kept)
    ("sd-turbo", "lcm-dreamshaper"): ((1, 4, 64, 64), True, False),
    ("sdxl-turbo", "pixart-delta"): ((1, 4, 128, 128), True, False),
    ("sdxl-lightning",): ((1, 4, 128, 128), False, False),
    ("sana-sprint",): ((1, 32, 32, 32), True, False),
    ("flux-schnell",): ((1, 4096, 64), False, False),
    ("z-image-turbo", "sd3.5-turbo"): ((1, 16, 128, 128), True, False),
    ("cd_imagenet64",): ((64, 3, 64, 64), True, False),
    ("beyond L2, deterministic",): ((128, 16, 128, 128), False, False),
    ("beyond L2, multistep",): ((128, 16, 128, 128), False, True),
    ("beyond L2, stochastic",): ((128, 16, 128, 128), True, False),
}


def make(device: str, dtype: torch.dtype, seed: int, *, shape: tuple[int, ...], draws: bool, multistep: bool) -> Inputs:
    x, m = normal(device, torch.float32, seed, *shape), normal(device, dtype, seed + 1, *shape)
    table = normal(device, torch.float32, seed + 2, STEPS, len(COLUMNS))
    if device != "meta":
        zero = [name for name, kept in (("c", draws), ("d", multistep), ("e", multistep)) if not kept]
        table[:, [COLUMNS.index(name) for name in zero]] = 0
        table[:, COLUMNS.index("r")] = 3.0
    inputs: Inputs = {"x": x, "m": m, "table": table, "i": 1}
    if draws:
        inputs["seeds"] = torch.arange(shape[0], dtype=torch.int64, device=device)
    if multistep:
        inputs["history"] = normal(device, torch.float32, seed + 3, *shape)
    return inputs


def reference(
    x: Tensor, m: Tensor, table: Tensor, i: int, *, history: Tensor | None = None, seeds: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Eager PyTorch, its noise from its own generator."""
    z = None if seeds is None else torch.randn_like(x)
    return sampler_step_ref(x, m, table, i, history=history, z=z)


CASES = [
    Case(
        "sampler_step",
        "x".join(map(str, shape)) + " noise" * draws + " history" * multistep,
        families,
        partial(make, shape=shape, draws=draws, multistep=multistep),
        sampler_step,
        reference,
        sampler_step_launches,
        sampler_step_cost,
    )
    for families, (shape, draws, multistep) in SHAPES.items()
]

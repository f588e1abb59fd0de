"""GroupNorm at the families' shapes: channels_last, as our convolutions leave it, and NCHW, as a library's do."""

from functools import partial

import torch

from fewstep.kernels.group_norm import group_norm, group_norm_cost, group_norm_launches, group_norm_ref
from fewstep.kernels.group_norm_stats import (
    group_norm_stats,
    group_norm_stats_cost,
    group_norm_stats_launches,
    group_norm_stats_ref,
)
from fewstep.profile.case import Case, Inputs, normal

SHAPES = {  # (C, side): families, 32 groups each
    (320, 64): ("sd-turbo", "lcm-dreamshaper", "sdxl-turbo"),
    (960, 64): ("sd-turbo", "lcm-dreamshaper", "sdxl-turbo"),
    (960, 32): ("sd-turbo", "lcm-dreamshaper"),
    (640, 32): ("sd-turbo", "lcm-dreamshaper", "sdxl-turbo"),
    (1280, 16): ("sd-turbo", "lcm-dreamshaper", "sdxl-turbo"),
    (2560, 8): ("sd-turbo", "lcm-dreamshaper"),
    (192, 64): ("cd_imagenet64",),
    (512, 64): ("sd-vae",),
    (512, 256): ("sd-vae",),
    (128, 512): ("sd-vae",),
    (128, 1024): ("sd-vae", "flux-vae"),
}
EPS = 1e-6


def make(
    device: str, dtype: torch.dtype, seed: int, *, C: int, side: int, nchw: bool = False, film: bool = False
) -> Inputs:
    """film: modulated by the time, as ADM's residual blocks are, else with SiLU alone."""
    x = normal(device, dtype, seed, 1, C, side, side)
    weight, bias = (normal(device, dtype, seed + i, C) for i in (1, 2))
    inputs = {"x": x if nchw else x.to(memory_format=torch.channels_last), "groups": 32, "eps": EPS, "silu": True}
    inputs |= {"weight": weight, "bias": bias}
    if film:
        inputs |= {name: normal(device, dtype, seed + i, 1, C) for i, name in enumerate(("scale", "shift"), start=3)}
    return inputs


def make_residual(device: str, dtype: torch.dtype, seed: int, *, C: int, side: int) -> Inputs:
    residual = normal(device, dtype, seed + 5, 1, C, side, side).to(memory_format=torch.channels_last)
    return make(device, dtype, seed, C=C, side=side) | {"residual": residual}


def make_stats(device: str, dtype: torch.dtype, seed: int, *, C: int, side: int) -> Inputs:
    inputs = make(device, dtype, seed, C=C, side=side)
    return {name: inputs[name] for name in ("x", "groups", "eps")}


FUNCTIONS = (group_norm, group_norm_ref, group_norm_launches, group_norm_cost)
STATS = (group_norm_stats, group_norm_stats_ref, group_norm_stats_launches, group_norm_stats_cost)
CASES = [
    *(
        Case("group_norm", f"1x{C}x{side}x{side}/32 silu", families, partial(make, C=C, side=side), *FUNCTIONS)
        for (C, side), families in SHAPES.items()
    ),
    *(
        Case("group_norm", f"1x{C}x{side}x{side}/32 {what}", (family,), make_as(C=C, side=side), *FUNCTIONS)
        for what, family, C, side, make_as in (
            ("silu nchw", "sd-turbo", 320, 64, partial(partial, make, nchw=True)),
            ("silu nchw", "sd-vae", 128, 512, partial(partial, make, nchw=True)),
            ("silu film", "cd_imagenet64", 384, 32, partial(partial, make, film=True)),
            ("silu residual", "sd-turbo", 320, 64, partial(partial, make_residual)),
        )
    ),
    *(
        Case("group_norm_stats", f"1x{C}x{side}x{side}/32", (family,), partial(make_stats, C=C, side=side), *STATS)
        for family, C, side in (("sd-turbo", 320, 64), ("sd-turbo", 1280, 16), ("sd-vae", 128, 512))
    ),
]

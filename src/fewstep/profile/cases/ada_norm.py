"""adaLN at the families' shapes."""

from functools import partial

import torch

from fewstep.kernels.ada_norm import ada_norm, ada_norm_cost, ada_norm_launches, ada_norm_ref
from fewstep.profile.case import Case, Inputs, normal

SHAPES = {  # family: (B, N, D)
    "dit-xl": (1, 256, 1152),
    "sana-sprint": (1, 1024, 2240),
    "sd3.5-turbo": (1, 4096, 2432),
    "flux-schnell": (1, 4352, 3072),
}


def make(device: str, dtype: torch.dtype, seed: int, *, B: int, N: int, D: int) -> Inputs:
    x = normal(device, dtype, seed, B, N, D)
    scale, shift = (normal(device, dtype, seed + i, B, D) for i in (1, 2))
    return {"x": x, "scale": scale, "shift": shift}


CASES = [
    Case(
        "ada_norm",
        f"{B}x{N}x{D}",
        (family,),
        partial(make, B=B, N=N, D=D),
        ada_norm,
        ada_norm_ref,
        ada_norm_launches,
        ada_norm_cost,
    )
    for family, (B, N, D) in SHAPES.items()
]

"""Embeddings at the families' tables: labels and tokens."""

from functools import partial

import torch

from fewstep.kernels.gather import gather, gather_cost, gather_launches, gather_ref
from fewstep.profile.case import Case, Inputs, normal

SHAPES = {  # (rows of the table, D, indices): families
    (17, 192, 1): ("toons16",),
    (1001, 1152, 1): ("dit-xl",),
    (49408, 768, 77): ("clip-l",),
    (49408, 1024, 77): ("clip-h",),
    (32128, 4096, 256): ("t5-xxl",),
    (49408, 1024, 65536): ("beyond L2",),
}


def make(device: str, dtype: torch.dtype, seed: int, *, V: int, D: int, N: int) -> Inputs:
    table = normal(device, dtype, seed, V, D)
    if device == "meta":
        return {"table": table, "indices": torch.empty(1, N, dtype=torch.int64, device=device)}
    generator = torch.Generator(device).manual_seed(seed)
    return {"table": table, "indices": torch.randint(V, (1, N), generator=generator, device=device)}


CASES = [
    Case(
        "gather",
        f"{V}x{D} of {N}",
        families,
        partial(make, V=V, D=D, N=N),
        gather,
        gather_ref,
        gather_launches,
        gather_cost,
    )
    for (V, D, N), families in SHAPES.items()
]

"""Feed-forward activations at the families' shapes."""

from functools import partial

import torch

from fewstep.kernels.gelu import gelu, gelu_cost, gelu_launches, gelu_ref
from fewstep.kernels.glu import glu, glu_cost, glu_launches, glu_ref
from fewstep.profile.case import Case, Inputs, normal

GATED = {  # families: (tokens, D, kind, where the gate is)
    ("sd-turbo", "lcm-dreamshaper"): (4096, 1280, "geglu", "second"),
    ("sdxl-turbo",): (1024, 5120, "geglu", "second"),
    ("sdxl-turbo 1024",): (4096, 2560, "geglu", "second"),
    ("sana-sprint",): (1024, 5600, "swiglu", "second"),
    ("t5-xxl",): (256, 10240, "geglu_tanh", "first"),
    ("qwen3-4b",): (128, 9728, "swiglu", "first"),
    ("z-image-turbo",): (4224, 10240, "swiglu", "first"),
}
PLAIN = {  # families: (tokens, D, kind)
    ("clip-h",): (77, 4096, "erf"),
    ("dit-xl",): (256, 4608, "tanh"),
    ("pixart-delta",): (4096, 4608, "tanh"),
    ("sd3.5-turbo",): (4096, 9728, "tanh"),
    ("flux-schnell",): (4352, 12288, "tanh"),
}


def make(device: str, dtype: torch.dtype, seed: int, *, T: int, width: int, **options: str) -> Inputs:
    return {"x": normal(device, dtype, seed, 1, T, width), **options}


CASES = [
    Case(
        "glu",
        f"1x{T}x{D} {kind}",
        families,
        partial(make, T=T, width=2 * D, kind=kind, gate=gate),
        glu,
        glu_ref,
        glu_launches,
        glu_cost,
    )
    for families, (T, D, kind, gate) in GATED.items()
] + [
    Case(
        "gelu",
        f"1x{T}x{D} {kind}",
        families,
        partial(make, T=T, width=D, kind=kind),
        gelu,
        gelu_ref,
        gelu_launches,
        gelu_cost,
    )
    for families, (T, D, kind) in PLAIN.items()
]

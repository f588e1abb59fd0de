"""Norms of rows at the families' shapes: adaLN, affine, and fused with the gated residual before."""

from functools import partial

import torch

from fewstep.kernels.ada_norm import ada_norm, ada_norm_cost, ada_norm_launches, ada_norm_ref
from fewstep.kernels.gated_residual_norm import (
    gated_residual_norm,
    gated_residual_norm_cost,
    gated_residual_norm_launches,
    gated_residual_norm_ref,
)
from fewstep.kernels.modulation import Norm
from fewstep.profile.case import Case, Inputs, normal

Terms = tuple[str, ...]
ADA: Terms = ("scale", "shift")
AFFINE: Terms = ("weight", "bias")

NORMS: dict[tuple[str, ...], tuple[tuple[int, int, int], Norm, Terms]] = {  # families: ((B, N, D), norm, terms)
    ("sd-turbo", "lcm-dreamshaper"): ((1, 4096, 320), "layer", AFFINE),
    ("sdxl-turbo",): ((1, 1024, 1280), "layer", AFFINE),
    ("clip-l",): ((1, 77, 768), "layer", AFFINE),
    ("dit-xl",): ((1, 256, 1152), "layer", ADA),
    ("pixart-delta",): ((1, 4096, 1152), "layer", ADA),
    ("sana-sprint",): ((1, 1024, 2240), "layer", ADA),
    ("sana-sprint across heads",): ((1, 1024, 2240), "rms", ("weight",)),
    ("sd3.5-turbo",): ((1, 4096, 2432), "layer", ADA),
    ("flux-schnell",): ((1, 4352, 3072), "layer", ADA),
    ("z-image-turbo",): ((1, 4224, 3840), "rms", ("weight", "scale")),
}
RESIDUALS: dict[tuple[str, ...], tuple[tuple[int, int, int], Norm, Terms]] = {
    ("sdxl-turbo",): ((1, 1024, 1280), "layer", AFFINE),
    ("dit-xl",): ((1, 256, 1152), "layer", ("gate", *ADA)),
    ("sd3.5-turbo",): ((1, 4096, 2432), "layer", ("gate", *ADA)),
    ("flux-schnell", "qwen-image"): ((1, 4096, 3072), "layer", ("gate", *ADA)),
    ("z-image-turbo",): ((1, 4224, 3840), "rms", ("branch_weight", "gate", "weight", "scale")),
}


def make(
    device: str, dtype: torch.dtype, seed: int, *, shape: tuple[int, int, int], rows: Terms, norm: Norm, terms: Terms
) -> Inputs:
    """rows: the names of the arguments (B, N, D); terms: of the others."""
    B, _, D = shape
    sizes = {name: (D,) if name.endswith(("weight", "bias")) else (B, D) for name in terms}
    inputs: Inputs = {name: normal(device, dtype, seed + i, *shape) for i, name in enumerate(rows)}
    inputs |= {name: normal(device, dtype, seed + len(rows) + i, *sizes[name]) for i, name in enumerate(terms)}
    return inputs | {"norm": norm}


def described(shape: tuple[int, int, int], norm: Norm, terms: Terms) -> str:
    return " ".join(["x".join(map(str, shape)), norm, *terms])


CASES = [
    Case(
        "ada_norm",
        described(shape, norm, terms),
        families,
        partial(make, shape=shape, rows=("x",), norm=norm, terms=terms),
        ada_norm,
        ada_norm_ref,
        ada_norm_launches,
        ada_norm_cost,
    )
    for families, (shape, norm, terms) in NORMS.items()
] + [
    Case(
        "gated_residual_norm",
        described(shape, norm, terms),
        families,
        partial(make, shape=shape, rows=("x", "branch"), norm=norm, terms=terms),
        gated_residual_norm,
        gated_residual_norm_ref,
        gated_residual_norm_launches,
        gated_residual_norm_cost,
    )
    for families, (shape, norm, terms) in RESIDUALS.items()
]

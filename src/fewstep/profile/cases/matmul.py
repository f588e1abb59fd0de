"""Linear layers with their neighbours at the families' shapes."""

from functools import partial

import torch
from torch import Tensor

from fewstep.kernels.matmul import matmul, matmul_cost, matmul_launches, matmul_ref
from fewstep.profile.case import Case, Function, Inputs, normal

SHAPES = {  # (tokens, K, N, activation, glu, what is added): families
    (1, 1280, 1280, "silu", None, ("bias",)): ("sdxl-turbo time",),
    (1, 2432, 14592, None, None, ("bias",)): ("sd3.5-turbo modulation",),
    (77, 2048, 1280, None, None, ()): ("sdxl-turbo text",),
    (256, 1152, 4608, "gelu_tanh", None, ("bias",)): ("dit-xl",),
    (256, 5120, 1280, None, None, ("bias", "residual")): ("sdxl-turbo 512", "sd-turbo"),
    (1024, 1280, 1280, None, None, ("bias", "residual")): ("sdxl-turbo",),
    (1024, 1280, 5120, "gelu", "value_first", ("bias",)): ("sdxl-turbo",),
    (1024, 2240, 2240, None, None, ("bias", "gate", "residual")): ("sana-sprint",),
    (4096, 320, 320, None, None, ("bias", "residual")): ("sd-turbo",),
    (4096, 320, 1280, "gelu", "value_first", ("bias",)): ("sd-turbo",),
    (4096, 3072, 12288, "gelu_tanh", None, ("bias",)): ("flux-schnell", "qwen-image"),
    (4352, 15360, 3072, None, None, ("bias", "gate", "residual")): ("flux-schnell",),
    (4224, 3840, 10240, "silu", "gate_first", ()): ("z-image-turbo",),
}


def make(device: str, dtype: torch.dtype, seed: int, *, shape: tuple[int, int, int], halves: int,
         added: tuple[str, ...], **options: str | None) -> Inputs:  # fmt: skip
    T, K, N = shape
    inputs: Inputs = {
        "a": normal(device, dtype, seed, 1, T, K),
        "b": normal(device, dtype, seed + 1, halves * N, K, mean=0.01),
        **options,
    }
    if device != "meta":
        inputs["b"] *= K**-0.5
    sizes = {"bias": (halves * N,), "gate": (1, N), "residual": (1, T, N)}
    return inputs | {name: normal(device, dtype, seed + 2 + i, *sizes[name]) for i, name in enumerate(added)}


def addmm_gelu(a: Tensor, b: Tensor, *, bias: Tensor, **_: object) -> Tensor:
    """cuBLASLt's own epilogue, for the tanh form of GELU."""
    y: Tensor = torch._addmm_activation(bias, a.flatten(0, 1), b.T, use_gelu=True)
    return y.view(*a.shape[:2], -1)


def libraries(activation: str | None) -> dict[str, Function]:
    return {"addmm_gelu": addmm_gelu} if activation == "gelu_tanh" else {}


CASES = [
    Case(
        "matmul",
        " ".join([f"{T}x{K}x{N}", *filter(None, (activation, glu and "glu")), *added]),
        families,
        partial(make, shape=(T, K, N), halves=2 if glu else 1, added=added, activation=activation, glu=glu),
        matmul,
        matmul_ref,
        matmul_launches,
        matmul_cost,
        libraries(activation),
    )
    for (T, K, N, activation, glu, added), families in SHAPES.items()
]

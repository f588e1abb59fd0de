"""Attention at the families' shapes, beside PyTorch's by backend."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from fewstep.kernels.attention import attention, attention_cost, attention_launches, attention_ref
from fewstep.profile.case import Case, Function, Inputs, normal

SHAPES = {  # (H, N, M, D): families
    (5, 4096, 4096, 64): ("sd-turbo",),
    (5, 4096, 77, 64): ("sd-turbo cross",),
    (20, 64, 64, 64): ("sd-turbo 8x8",),
    (8, 4096, 4096, 40): ("lcm-dreamshaper",),
    (8, 256, 256, 160): ("lcm-dreamshaper 16x16",),
    (20, 256, 256, 64): ("sdxl-turbo",),
    (10, 1024, 77, 64): ("sdxl-turbo cross",),
    (6, 1024, 1024, 64): ("cd_imagenet64",),
    (16, 256, 256, 72): ("dit-xl",),
    (16, 4096, 4096, 72): ("pixart-delta",),
    (16, 1024, 300, 72): ("sana-sprint-0.6b cross",),
    (20, 1024, 300, 112): ("sana-sprint-1.6b cross",),
    (38, 4429, 4429, 64): ("sd3.5-turbo",),
    (24, 4352, 4352, 128): ("flux-schnell",),
    (30, 4224, 4224, 128): ("z-image-turbo",),
    (1, 4096, 4096, 512): ("sd-turbo decoder",),
    (1, 16384, 16384, 384): ("qwen-image decoder",),
}
BACKENDS = {  # name: (the backend, its widest head)
    "flash": (SDPBackend.FLASH_ATTENTION, 256),
    "cudnn": (SDPBackend.CUDNN_ATTENTION, 128),
    "efficient": (SDPBackend.EFFICIENT_ATTENTION, 65536),
}


def make(device: str, dtype: torch.dtype, seed: int, *, H: int, N: int, M: int, D: int) -> Inputs:
    """As the projections write them: (B, N, H, D), the heads moved forward as a view."""
    sizes = {"q": N, "k": M, "v": M}
    return {
        name: normal(device, dtype, seed + i, 1, size, H, D).transpose(1, 2)
        for i, (name, size) in enumerate(sizes.items())
    }


def sdpa(backend: SDPBackend) -> Function:
    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel(backend):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    return run


CASES = [
    Case(
        "attention",
        f"1x{H}x{N}x{M}x{D}",
        families,
        partial(make, H=H, N=N, M=M, D=D),
        attention,
        attention_ref,
        attention_launches,
        attention_cost,
        {name: sdpa(backend) for name, (backend, widest) in BACKENDS.items() if widest >= D},
    )
    for (H, N, M, D), families in SHAPES.items()
]

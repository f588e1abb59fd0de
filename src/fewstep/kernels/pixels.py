"""Images of any strides as pixels by channels: what group_norm, decode and upsample share.

An image is (B, C, H, W), or (B, C, N) where the pixels are a sequence; results are channels_last, that is (B, H, W, C)
in memory.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.checks import check_range, check_shape

MAX_B = 65535  # programs along a grid's second and third axis
MAX_PIXELS = 2**30


@triton.jit
def pixel_offsets(p, W, stride_h, stride_w):
    """int64, of pixels p < 2**31 in reading order; stride_h is None where rows follow each other at stride_w."""
    if stride_h is None:
        offsets = p.to(tl.int64) * stride_w
    else:
        offsets = (p // W).to(tl.int64) * stride_h + (p % W).to(tl.int64) * stride_w
    return offsets


def check_image(name: str, x: Tensor) -> tuple[int, int, int]:
    """B, C and the number of pixels of (B, C, H, W) or (B, C, N)."""
    check_shape(name, x, (None,) * (3 if x.dim() == 3 else 4))
    B, C, P = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    check_range("B", B, 1, MAX_B)
    check_range("H * W", P, 1, MAX_PIXELS)
    return B, C, P


def image_strides(name: str, x: Tensor | None) -> dict[str, int | None]:
    """stride_<name>b, c, h and w, the last two as pixel_offsets takes them; all None without x."""
    b, c, h, w = (None,) * 4 if x is None else (*x.stride()[:2], *_pixel_strides(x))
    return {f"stride_{name}b": b, f"stride_{name}c": c, f"stride_{name}h": h, f"stride_{name}w": w}


def _pixel_strides(x: Tensor) -> tuple[int | None, int]:
    H, W = x.shape[2:] if x.dim() == 4 else (1, x.shape[2])
    h, w = x.stride()[-2:]
    if W == 1 and H > 1:
        return None, h
    return (None if H == 1 or h == W * w else h), w


def empty_channels_last(x: Tensor, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
    """(B, C, H, W) or (B, C, N) on x's device, in x's dtype unless another is given."""
    B, C, *pixels = shape
    return torch.empty((B, *pixels, C), dtype=dtype or x.dtype, device=x.device).movedim(-1, 1)

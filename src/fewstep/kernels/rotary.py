"""Rows of heads as pairs of numbers: loaded, RMS-normalised, rotated, stored. Su et al. 2021 (arXiv 2104.09864).

A pair is (x[2i], x[2i + 1]) in the interleaved layout (FLUX, Qwen-Image, Z-Image) and (x[i], x[i + D/2]) in the half
layout (rotate_half of Llama and most text encoders).
"""

from typing import Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

Layout = Literal["interleaved", "half"]


def rotate_ref(x: Tensor, cos: Tensor, sin: Tensor, layout: Layout) -> Tensor:
    """x: (B, N, H, D); cos, sin: (N, D/2) or (B, N, D/2). In the wider of the dtypes, rounded once."""
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    if layout == "interleaved":
        first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
        y = torch.stack((first * cos - second * sin, second * cos + first * sin), dim=-1).flatten(-2)
    else:
        first, second = x.chunk(2, dim=-1)
        y = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return y.to(x.dtype)


@triton.jit
def load_pairs(ptrs, mask, D, R: tl.constexpr, BLOCK_P: tl.constexpr, INTERLEAVED: tl.constexpr):
    """ptrs: [R] rows of D numbers; mask: [R]. Two fp32 [R, BLOCK_P]."""
    if INTERLEAVED:
        d = tl.arange(0, 2 * BLOCK_P)
        x = tl.load(ptrs[:, None] + d[None, :], mask=mask[:, None] & (d < D)[None, :], other=0.0)
        first, second = tl.split(tl.reshape(x, (R, BLOCK_P, 2)))
    else:
        p = tl.arange(0, BLOCK_P)
        halves = mask[:, None] & (p < D // 2)[None, :]
        first = tl.load(ptrs[:, None] + p[None, :], mask=halves, other=0.0)
        second = tl.load(ptrs[:, None] + D // 2 + p[None, :], mask=halves, other=0.0)
    return first.to(tl.float32), second.to(tl.float32)


@triton.jit
def store_pairs(
    ptrs, first, second, mask, D, R: tl.constexpr, BLOCK_P: tl.constexpr, INTERLEAVED: tl.constexpr
):  # fmt: skip
    first, second = first.to(ptrs.dtype.element_ty), second.to(ptrs.dtype.element_ty)
    if INTERLEAVED:
        d = tl.arange(0, 2 * BLOCK_P)
        x = tl.reshape(tl.join(first, second), (R, 2 * BLOCK_P))
        tl.store(ptrs[:, None] + d[None, :], x, mask=mask[:, None] & (d < D)[None, :])
    else:
        p = tl.arange(0, BLOCK_P)
        halves = mask[:, None] & (p < D // 2)[None, :]
        tl.store(ptrs[:, None] + p[None, :], first, mask=halves)
        tl.store(ptrs[:, None] + D // 2 + p[None, :], second, mask=halves)


@triton.jit
def normalise_pairs(
    first, second, weight_ptr, D, eps, R: tl.constexpr, BLOCK_P: tl.constexpr, INTERLEAVED: tl.constexpr
):  # fmt: skip
    """RMSNorm with a weight (D,); as it is where weight_ptr is None."""
    if weight_ptr is not None:
        rows = tl.zeros((R,), tl.int32)
        weights = load_pairs(weight_ptr + rows, rows == 0, D, R, BLOCK_P, INTERLEAVED)
        rstd = tl.rsqrt(tl.sum(first * first + second * second, axis=1) / D + eps)[:, None]
        first, second = first * rstd * weights[0], second * rstd * weights[1]
    return first, second


@triton.jit
def rotate(first, second, cos, sin):
    return first * cos - second * sin, second * cos + first * sin

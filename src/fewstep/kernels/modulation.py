"""Rows that are normalised, scaled and shifted: what ada_norm and gated_residual_norm share.

A modulation is (B, D), one row for each sample, or (B, N, D), one for each token; weight and bias are (D,).
"""

from typing import Literal

import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.checks import check_dtype, check_last_contiguous, check_range, check_shape
from fewstep.kernels.tuned import Config

Norm = Literal["layer", "rms"]
MAX_D = 16384  # one row must fit in one program
MAX_B = 65535  # the grid's second axis


@triton.jit
def load_row(ptr, b, n, d, mask, D, stride_b, stride_n, absent: tl.constexpr):
    """[1 or BLOCK_N, BLOCK_D]; absent where ptr is None. stride_n is None where one row serves the sample."""
    if ptr is None:
        row = tl.full((1, 1), absent, tl.float32)
    elif stride_n is None:
        row = tl.load(ptr + b * stride_b + d, mask=d < D, other=0.0)[None, :]
    else:
        row = tl.load(ptr + b * stride_b + n[:, None] * stride_n + d[None, :], mask=mask, other=0.0)
    return row


@triton.jit
def normalise(x, mask, D, eps, IS_LAYER: tl.constexpr):
    """x: fp32 [BLOCK_N, BLOCK_D], zero where masked."""
    if IS_LAYER:
        x = tl.where(mask, x - tl.sum(x, axis=1)[:, None] / D, 0.0)
    return x * tl.rsqrt(tl.sum(x * x, axis=1) / D + eps)[:, None]


@triton.jit
def modulate(y, weight, bias, scale, shift):
    y = y * weight.to(tl.float32) + bias.to(tl.float32)
    return y * (1 + scale.to(tl.float32)) + shift.to(tl.float32)


def check_rows(**tensors: Tensor) -> tuple[int, int, int]:
    """(B, N, D) of tensors of one shape."""
    shape: tuple[int | None, ...] = (None, None, None)
    for name, x in tensors.items():
        check_shape(name, x, shape)
        check_dtype(name, x)
        check_last_contiguous(name, x)
        shape = tuple(x.shape)
    B, N, D = x.shape
    check_range("B", B, 1, MAX_B)
    check_range("D", D, 1, MAX_D)
    return B, N, D


def check_modulation(B: int, N: int, D: int, **tensors: Tensor | None) -> None:
    """weight and bias (D,), everything else (B, D) or (B, N, D)."""
    for name, m in tensors.items():
        if m is None:
            continue
        if name.endswith(("weight", "bias")):
            check_shape(name, m, (D,))
        else:
            check_shape(name, m, (B, D) if m.dim() == 2 else (B, N, D))
        check_dtype(name, m)
        check_last_contiguous(name, m)


def modulation_strides(name: str, m: Tensor | None) -> dict[str, int | None]:
    """The strides that load_row takes, by the kernel's names."""
    per_token = m is not None and m.dim() == 3
    return {
        f"stride_{name}_b": None if m is None else m.stride(0),
        f"stride_{name}_n": m.stride(1) if m is not None and per_token else None,
    }


def rows_config(D: int) -> Config:
    """16 elements to a thread, in bf16 two loads of 16 bytes; several rows to a program where a row is short."""
    BLOCK_D = triton.next_power_of_2(D)
    return {
        "BLOCK_N": min(16, max(1, 1024 // BLOCK_D)),
        "BLOCK_D": BLOCK_D,
        "num_warps": min(16, max(1, BLOCK_D // 512)),
    }

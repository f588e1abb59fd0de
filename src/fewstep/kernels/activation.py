"""GELU (arXiv 1606.08415) and SiLU in fp32, with relative accuracy in the tails, and the rows that they are applied to.

The usual 1 + erf(x / sqrt 2) loses every digit below x = -5. Here the Gaussian tail Q(a) = erfc(a / sqrt 2) / 2 is
t P(t) exp(-a**2 / 2), t = 1 / (1 + 0.35 a), P the polynomial of degree 8 of least relative error (3.2e-8).
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.checks import check_dtype, check_last_contiguous, check_range, check_shape
from fewstep.kernels.tuned import Config

Activation = Literal["gelu", "gelu_tanh", "silu"]
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": partial(torch.nn.functional.gelu, approximate="tanh"),
    "silu": torch.nn.functional.silu,
}
LOG2_E = tl.constexpr(1.4426950408889634)
MAX_B = 65535  # the grid's second axis


@triton.jit
def gelu(x):
    a = tl.abs(x)
    t = 1 / (1 + 0.35 * a)
    p = 0.14403057 + t * -0.029157814
    p = 0.15931889 + t * (-0.2558383 + t * p)
    p = 0.10555227 + t * (-0.023211801 + t * p)
    p = 0.13986351 + t * (0.11982135 + t * p)
    tail = t * (0.13962132 + t * p) * tl.exp2(a * a * (-0.5 * LOG2_E))
    return x * tl.where(x < 0, tail, 1 - tail)


@triton.jit
def silu(x):
    e = tl.exp2(-tl.abs(x) * LOG2_E)  # at most 1: nothing overflows
    return x * tl.where(x < 0, e, 1.0) / (1 + e)


@triton.jit
def gelu_tanh(x):
    u = 1.5957691216057308 * (x + 0.044715 * x * x * x)  # 2 sqrt(2 / pi); (1 + tanh(u / 2)) / 2 is the sigmoid of u
    e = tl.exp2(-tl.abs(u) * LOG2_E)
    return x * tl.where(u < 0, e, 1.0) / (1 + e)


@triton.jit
def activate(x, ACTIVATION: tl.constexpr):
    if ACTIVATION == "gelu":
        y = gelu(x)
    elif ACTIVATION == "gelu_tanh":
        y = gelu_tanh(x)
    else:
        tl.static_assert(ACTIVATION == "silu")
        y = silu(x)
    return y


def as_rows(name: str, x: Tensor) -> Tensor:
    """x: (..., C) as a view (B, N, C), its last axis contiguous."""
    check_shape(name, x, (None,) * max(1, x.dim()))
    check_dtype(name, x)
    check_last_contiguous(name, x)
    try:
        rows = x[(None,) * (3 - x.dim())] if x.dim() <= 3 else x.view(-1, *x.shape[-2:])
    except RuntimeError:
        raise InputError(f"{name}: expected leading axes that collapse into one, got strides {x.stride()}") from None
    check_range(f"{name}'s samples", rows.shape[0], 1, MAX_B)
    return rows


def output_rows(x: Tensor, shape: tuple[int, ...], out: Tensor | None) -> tuple[Tensor, Tensor]:
    """out, allocated if it is None, and its rows."""
    if out is None:
        out = torch.empty(shape, dtype=x.dtype, device=x.device)
    check_shape("out", out, shape)
    check_dtype("out", out, (x.dtype,))
    return out, as_rows("out", out)


def block_config(D: int) -> Config:
    """2048 elements to a program, in blocks that leave the least of a row's end empty."""
    BLOCK_D = min((1024, 512, 256), key=lambda block: -D % block)
    return {"BLOCK_N": 2048 // BLOCK_D, "BLOCK_D": BLOCK_D, "num_warps": 4}

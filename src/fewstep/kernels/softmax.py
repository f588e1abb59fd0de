"""Softmax over the last axis: y = exp(x - max x) / sum exp(x - max x), whatever the strides; y may be x itself.

x and y are (..., D), float16, bfloat16 or float32; arithmetic is fp32. A row that fits a block is read once, a longer
one twice: its maximum and sum are found in one walk (Milakov & Gimelshein 2018, arXiv 1805.02867).
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.checks import check_device, check_dtype, check_range, check_shape
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, run_all
from fewstep.kernels.strided import check_written, collapse, strided_offsets
from fewstep.kernels.tuned import Config, tuned

MAX_SIZE = 2**30  # rows, and elements of each
WIDEST = 8192  # elements of a row that one program holds
LOG2_E = tl.constexpr(1.4426950408889634)


def softmax_ref(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """What the kernel must equal, in the dtype of its inputs."""
    y = torch.softmax(x, -1)
    return y if out is None else out.copy_(y)


@triton.jit
def _softmax_kernel(
    x_ptr, y_ptr,
    N, D,
    stride_xd, stride_yd,
    ROWS: tl.constexpr, X_STRIDES: tl.constexpr, Y_STRIDES: tl.constexpr,
    IS_HELD: tl.constexpr,  # whether a block holds a row
    BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    d = tl.arange(0, BLOCK_D).to(tl.int64)
    x_ptrs = x_ptr + strided_offsets(n, ROWS, X_STRIDES, 0)[:, None] + (d * stride_xd)[None, :]
    y_ptrs = y_ptr + strided_offsets(n, ROWS, Y_STRIDES, 0)[:, None] + (d * stride_yd)[None, :]
    rows = (n < N)[:, None]
    if IS_HELD:
        mask = rows & (d < D)[None, :]
        x = tl.load(x_ptrs, mask=mask, other=float("-inf")).to(tl.float32)
        weight = tl.exp2((x - _pivot(tl.max(x, axis=1))[:, None]) * LOG2_E)
        y = weight / tl.sum(weight, axis=1)[:, None]
        tl.store(y_ptrs, y.to(y_ptr.dtype.element_ty), mask=mask)
    else:
        top = tl.full([BLOCK_N], float("-inf"), tl.float32)
        total = tl.zeros([BLOCK_N], tl.float32)
        for first in range(0, D, BLOCK_D):
            mask = rows & (first + d < D)[None, :]
            at = tl.cast(first, tl.int64)
            x = tl.load(x_ptrs + at * stride_xd, mask=mask, other=float("-inf")).to(tl.float32)
            new = tl.maximum(top, tl.max(x, axis=1))
            pivot = _pivot(new)
            total *= tl.exp2((top - pivot) * LOG2_E)
            total += tl.sum(tl.exp2((x - pivot[:, None]) * LOG2_E), axis=1)
            top = new
        pivot = _pivot(top)[:, None]
        for first in range(0, D, BLOCK_D):
            mask = rows & (first + d < D)[None, :]
            at = tl.cast(first, tl.int64)
            x = tl.load(x_ptrs + at * stride_xd, mask=mask, other=float("-inf")).to(tl.float32)
            y = tl.exp2((x - pivot) * LOG2_E) / total[:, None]
            tl.store(y_ptrs + at * stride_yd, y.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _pivot(top):
    """What is taken from a row: its maximum, but of a row of -inf nothing, or -inf less -inf would be NaN at once."""
    return tl.where(top == float("-inf"), 0.0, top)


def softmax_launches(
    x: Tensor, *, out: Tensor | None = None, arch: int | None = None, config: Config | None = None
) -> tuple[Tensor, list[Launch]]:
    """y, allocated unless it is out, and the launch that writes it. On meta, for sm_<arch>."""
    check_shape("x", x, (None,) * max(1, x.dim()))
    check_dtype("x", x)
    N, D = math.prod(x.shape[:-1]), x.shape[-1]
    check_range("rows", N, 1, MAX_SIZE)
    check_range("D", D, 1, MAX_SIZE)
    if out is not None:
        check_shape("out", out, tuple(x.shape))
        check_dtype("out", out)
        check_written("out", out)
    check_device(x=x, out=out)

    y = torch.empty(x.shape, dtype=x.dtype, device=x.device) if out is None else out
    rows, (x_strides, y_strides) = collapse(x.shape[:-1], x.stride()[:-1], y.stride()[:-1])
    chosen = config or tuned("softmax", f"{N}x{D} {x.dtype}", arch or architecture(x)) or _heuristic(D)
    constants = {"ROWS": rows, "X_STRIDES": x_strides, "Y_STRIDES": y_strides, "IS_HELD": chosen["BLOCK_D"] >= D}
    args = {"x_ptr": x, "y_ptr": y, "N": N, "D": D, "stride_xd": x.stride(-1), "stride_yd": y.stride(-1)}
    return y, [Launch(_softmax_kernel, (triton.cdiv(N, chosen["BLOCK_N"]), 1, 1), args, constants | chosen)]


def _heuristic(D: int) -> Config:
    """16 elements to a thread, several short rows to a program; long rows in blocks."""
    block_d = triton.next_power_of_2(D)
    block_d = block_d if block_d <= WIDEST else 2048
    return {
        "BLOCK_N": min(16, max(1, 1024 // block_d)),
        "BLOCK_D": block_d,
        "num_warps": min(16, max(4, block_d // 512)),
    }


def softmax(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns softmax(x) over the last axis, in out if given, which may be x. x: (..., D). Raises InputError."""
    y, launches = softmax_launches(x, out=out)
    run_all(launches)
    return y


def softmax_cost(x: Tensor, *, out: Tensor | None = None) -> Cost:
    return Cost(nbytes(x, x if out is None else out), 5 * x.numel())

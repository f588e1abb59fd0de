"""Mean, sum, max or min over the last axes: y = kind of x over its last `axes` axes, whatever the strides.

x is (..., *R), float16, bfloat16 or float32, and y (...) in x's dtype unless out says otherwise. Sums are fp32; the
greatest and the least of what holds a NaN is NaN. Each program takes several rows, and walks over them in blocks.
"""

import math
from typing import Literal, get_args

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.checks import check_choice, check_device, check_dtype, check_range, check_shape
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, run_all
from fewstep.kernels.strided import check_written, collapse, strided_offsets
from fewstep.kernels.tuned import Config, tuned

Kind = Literal["mean", "sum", "max", "min"]
MAX_SIZE = 2**30  # rows, and elements of each


def reduce_ref(x: Tensor, kind: Kind, axes: int = 1, *, out: Tensor | None = None) -> Tensor:
    """What the kernel must equal, in the dtype of its inputs."""
    rows = x.reshape(*x.shape[:-axes], -1)
    y: Tensor = {"mean": rows.mean, "sum": rows.sum, "max": rows.amax, "min": rows.amin}[kind](-1)  # type: ignore[operator]
    return y if out is None else out.copy_(y)


@triton.jit
def _reduce_kernel(
    x_ptr, y_ptr,
    N, D,
    ROWS: tl.constexpr, X_STRIDES: tl.constexpr, Y_STRIDES: tl.constexpr,
    COLUMNS: tl.constexpr, D_STRIDES: tl.constexpr,
    KIND: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    row_ptr = x_ptr + strided_offsets(n, ROWS, X_STRIDES, 0)[:, None]
    START: tl.constexpr = float("-inf") if KIND == "max" else float("inf") if KIND == "min" else 0.0
    acc = tl.full([BLOCK_N, BLOCK_D], START, tl.float32)
    for first in range(0, D, BLOCK_D):
        d = first + tl.arange(0, BLOCK_D)
        mask = (n < N)[:, None] & (d < D)[None, :]
        x = tl.load(row_ptr + strided_offsets(d, COLUMNS, D_STRIDES, 0)[None, :], mask=mask, other=START)
        x = x.to(tl.float32)
        if KIND == "max":
            acc = tl.maximum(acc, x, propagate_nan=tl.PropagateNan.ALL)
        elif KIND == "min":
            acc = tl.minimum(acc, x, propagate_nan=tl.PropagateNan.ALL)
        else:
            acc += x
    if KIND == "max":
        y = tl.reduce(acc, 1, _greater)
    elif KIND == "min":
        y = tl.reduce(acc, 1, _less)
    else:
        y = tl.sum(acc, axis=1)
    if KIND == "mean":
        y = y / D
    tl.store(y_ptr + strided_offsets(n, ROWS, Y_STRIDES, 0), y.to(y_ptr.dtype.element_ty), mask=n < N)


@triton.jit
def _greater(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _less(a, b):
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


def reduce_launches(
    x: Tensor,
    kind: Kind,
    axes: int = 1,
    *,
    out: Tensor | None = None,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated unless it is out, and the launch that writes it. On meta, for sm_<arch>."""
    check_shape("x", x, (None,) * x.dim())
    check_range("axes", axes, 1, x.dim())
    check_choice("kind", kind, get_args(Kind))
    check_dtype("x", x)
    kept, reduced = x.shape[:-axes], x.shape[-axes:]
    N, D = math.prod(kept), math.prod(reduced)
    check_range("rows", N, 1, MAX_SIZE)
    check_range("elements of a row", D, 1, MAX_SIZE)
    if out is not None:
        check_shape("out", out, tuple(kept))
        check_dtype("out", out)
        check_written("out", out)
    check_device(x=x, out=out)

    y = torch.empty(kept, dtype=x.dtype, device=x.device) if out is None else out
    rows, (x_strides, y_strides) = collapse(kept, x.stride()[:-axes], y.stride())
    columns, (d_strides,) = collapse(reduced, x.stride()[-axes:])
    chosen = config or tuned("reduce", f"{N}x{D} {kind} {x.dtype}", arch or architecture(x)) or _heuristic(D)
    constants = {
        "ROWS": rows, "X_STRIDES": x_strides, "Y_STRIDES": y_strides, "COLUMNS": columns, "D_STRIDES": d_strides,
        "KIND": kind,
    }  # fmt: skip
    args = {"x_ptr": x, "y_ptr": y, "N": N, "D": D}
    return y, [Launch(_reduce_kernel, (triton.cdiv(N, chosen["BLOCK_N"]), 1, 1), args, constants | chosen)]


def _heuristic(D: int) -> Config:
    block_d = min(2048, triton.next_power_of_2(D))
    return {"BLOCK_N": min(64, max(1, 1024 // block_d)), "BLOCK_D": block_d, "num_warps": 8 if block_d > 1024 else 4}


def reduce(x: Tensor, kind: Kind, axes: int = 1, *, out: Tensor | None = None) -> Tensor:
    """Returns (...), in out if given: the mean, sum, max or min over the last axes of x. Raises InputError."""
    y, launches = reduce_launches(x, kind, axes, out=out)
    run_all(launches)
    return y


def reduce_cost(x: Tensor, kind: Kind, axes: int = 1, *, out: Tensor | None = None) -> Cost:
    rows = math.prod(x.shape[:-axes])
    return Cost(nbytes(x) + rows * (x if out is None else out).element_size(), x.numel())

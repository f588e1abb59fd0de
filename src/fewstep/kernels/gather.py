"""Rows of a table: y[n, ...] = table[indices[n], ...], whatever the strides. An embedding.

table is (V, ...), indices int64 (...), y (indices..., ...) in the table's dtype unless out says otherwise. A kernel
cannot refuse: the row of an index below 0 or not below V is NaN, so that whoever looks for NaN finds it.
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


def gather_ref(table: Tensor, indices: Tensor, *, out: Tensor | None = None) -> Tensor:
    """What the kernel must equal, exactly."""
    inside = (indices >= 0) & (indices < len(table))
    y = table[indices.where(inside, 0)]
    y = y.where(inside.reshape(*inside.shape, *[1] * (table.dim() - 1)), float("nan"))
    return y if out is None else out.copy_(y)


@triton.jit
def _gather_kernel(
    table_ptr, index_ptr, y_ptr,
    V, N, D,
    stride_tv,
    ROWS: tl.constexpr, I_STRIDES: tl.constexpr, Y_STRIDES: tl.constexpr,
    COLUMNS: tl.constexpr, T_STRIDES: tl.constexpr, D_STRIDES: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    blocks_d = tl.cdiv(D, BLOCK_D)
    n = tl.program_id(0) // blocks_d * BLOCK_N + tl.arange(0, BLOCK_N)
    d = tl.program_id(0) % blocks_d * BLOCK_D + tl.arange(0, BLOCK_D)
    mask = (n < N)[:, None] & (d < D)[None, :]
    index = tl.load(index_ptr + strided_offsets(n, ROWS, I_STRIDES, 0), mask=n < N, other=0)
    inside = (index >= 0) & (index < V)
    t_ptrs = table_ptr + (index * stride_tv)[:, None] + strided_offsets(d, COLUMNS, T_STRIDES, 0)[None, :]
    y = tl.load(t_ptrs, mask=mask & inside[:, None], other=float("nan"))
    y_ptrs = (
        y_ptr + strided_offsets(n, ROWS, Y_STRIDES, 0)[:, None] + strided_offsets(d, COLUMNS, D_STRIDES, 0)[None, :]
    )
    tl.store(y_ptrs, y.to(y_ptr.dtype.element_ty), mask=mask)


def gather_launches(
    table: Tensor,
    indices: Tensor,
    *,
    out: Tensor | None = None,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated unless it is out, and the launch that writes it. On meta, for sm_<arch>."""
    check_shape("table", table, (None,) * max(1, table.dim()))
    check_shape("indices", indices, (None,) * indices.dim())
    check_dtype("table", table)
    check_dtype("indices", indices, (torch.int64,))
    shape = (*indices.shape, *table.shape[1:])
    N, D = indices.numel(), math.prod(table.shape[1:])
    check_range("indices", N, 1, MAX_SIZE)
    check_range("elements of a row", D, 1, MAX_SIZE)
    if out is not None:
        check_shape("out", out, shape)
        check_dtype("out", out)
        check_written("out", out)
    check_device(table=table, indices=indices, out=out)

    y = torch.empty(shape, dtype=table.dtype, device=table.device) if out is None else out
    rank = indices.dim()
    rows, (i_strides, y_strides) = collapse(indices.shape, indices.stride(), y.stride()[:rank])
    columns, (t_strides, d_strides) = collapse(table.shape[1:], table.stride()[1:], y.stride()[rank:])
    chosen = config or tuned("gather", f"{N}x{D} {table.dtype}", arch or architecture(table)) or _heuristic(D)
    constants = {
        "ROWS": rows, "I_STRIDES": i_strides, "Y_STRIDES": y_strides,
        "COLUMNS": columns, "T_STRIDES": t_strides, "D_STRIDES": d_strides,
    }  # fmt: skip
    args = {
        "table_ptr": table, "index_ptr": indices, "y_ptr": y, "V": len(table), "N": N, "D": D,
        "stride_tv": table.stride(0),
    }  # fmt: skip
    grid = (triton.cdiv(N, chosen["BLOCK_N"]) * triton.cdiv(D, chosen["BLOCK_D"]), 1, 1)
    return y, [Launch(_gather_kernel, grid, args, constants | chosen)]


def _heuristic(D: int) -> Config:
    block_d = min(1024, triton.next_power_of_2(D))
    return {"BLOCK_N": min(64, 1024 // block_d), "BLOCK_D": block_d, "num_warps": 4}


def gather(table: Tensor, indices: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Returns table[indices], in out if given; rows of indices that are not the table's are NaN. Raises InputError."""
    y, launches = gather_launches(table, indices, out=out)
    run_all(launches)
    return y


def gather_cost(table: Tensor, indices: Tensor, *, out: Tensor | None = None) -> Cost:
    """Each index reads its own row."""
    elements = indices.numel() * math.prod(table.shape[1:])
    read = elements * table.element_size()
    return Cost(nbytes(indices) + read + elements * (table if out is None else out).element_size(), 0)

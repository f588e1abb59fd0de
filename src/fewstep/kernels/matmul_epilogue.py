"""The end of a matrix product: y = residual + gate * act(sum * scale + bias), in fp32.

Both kernels that finish a product call these functions: the one that computes it (matmul.py), and the one here that
adds the parts of a sum over K that several programs shared, always in the same order.
"""

import triton
import triton.language as tl

from fewstep.kernels.activation import activate


@triton.jit
def scaled(acc, n0, N, scale, bias_ptr):
    """acc * scale + bias[n0:], below bias[N]."""
    acc = acc * scale
    if bias_ptr is not None:
        n = n0 + tl.arange(0, acc.shape[1])
        acc += tl.load(bias_ptr + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
    return acc


@triton.jit
def write(
    y, m0, n0, M, N, T,
    y_ptr, gate_ptr, residual_ptr,
    stride_gb,
    stride_rb, stride_rt,
    IS_ONE_SAMPLE: tl.constexpr,  # whether the rows from m0 on belong to one sample
):  # fmt: skip
    """Writes residual + gate * y from (m0, n0) on. Row m is token m % T of sample m // T."""
    m, n = m0 + tl.arange(0, y.shape[0]), n0 + tl.arange(0, y.shape[1])
    mask_m, mask_n = m < M, n < N
    mask = mask_m[:, None] & mask_n[None, :]
    sample, token = (m // T).to(tl.int64), (m % T).to(tl.int64)
    if gate_ptr is not None:
        if IS_ONE_SAMPLE:
            row = gate_ptr + (m0 // T).to(tl.int64) * stride_gb
            y *= tl.load(row + n, mask=mask_n, other=0.0).to(tl.float32)[None, :]
        else:
            y *= tl.load(gate_ptr + (sample * stride_gb)[:, None] + n[None, :], mask=mask, other=0.0).to(tl.float32)
    if residual_ptr is not None:
        row = residual_ptr + sample * stride_rb + token * stride_rt
        y += tl.load(row[:, None] + n[None, :], mask=mask, other=0.0).to(tl.float32)
    row = y_ptr + m.to(tl.int64) * N
    tl.store(row[:, None] + n[None, :], y.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit
def add_parts_kernel(
    parts_ptr, y_ptr, bias_ptr, gate_ptr, residual_ptr,
    M, N, T, scale,
    stride_gb,
    stride_rb, stride_rt,
    PARTS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    IS_ONE_SAMPLE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):  # fmt: skip
    """parts: float32 (PARTS, M, N)."""
    m0, n0 = tl.program_id(0) * BLOCK_M, tl.program_id(1) * BLOCK_N  # a grid's other axes end at 65535
    m, n = m0 + tl.arange(0, BLOCK_M), n0 + tl.arange(0, BLOCK_N)
    at = parts_ptr + m.to(tl.int64)[:, None] * N + n[None, :]
    mask = (m < M)[:, None] & (n < N)[None, :]
    acc = tl.zeros([BLOCK_M, BLOCK_N], dtype=tl.float32)
    for part in tl.static_range(PARTS):
        acc += tl.load(at + tl.cast(M, tl.int64) * N * part, mask=mask, other=0.0)
    y = scaled(acc, n0, N, scale, bias_ptr)
    if ACTIVATION is not None:
        y = activate(y, ACTIVATION)
    write(
        y, m0, n0, M, N, T,
        y_ptr, gate_ptr, residual_ptr,
        stride_gb,
        stride_rb, stride_rt,
        IS_ONE_SAMPLE,
    )  # fmt: skip

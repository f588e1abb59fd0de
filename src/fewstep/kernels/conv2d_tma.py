"""Convolution of stride 1 as a matrix product fed by the tensor memory accelerator (sm_90 and later).

A program computes a rectangle of BLOCK_H x BLOCK_W pixels of one sample in BLOCK_N channels. Each step reads that
rectangle, moved by one tap, as one box of a four-dimensional tensor: what lies outside the picture arrives as the
zeros of the padding, so that the loop has no masks, no addresses and no registers but the sums. The product is
computed transposed, channels by pixels: the compiler reads a reshaped box in place as the right operand alone.
"""

import triton
import triton.language as tl

from fewstep.kernels.conv2d_epilogue import finish


@triton.jit
def tma_kernel(
    x_desc, weight_desc, y_ptr, bias_ptr, embedding_ptr, residual_ptr,
    C, H_out, W_out, C_out, pad_h, pad_w, steps_per_part, scale,
    stride_ps, stride_yb, stride_yh, stride_yw,
    stride_eb,
    stride_rb, stride_rh, stride_rw,
    KH: tl.constexpr, KW: tl.constexpr,
    UP: tl.constexpr,
    ACTIVATION: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
):  # fmt: skip
    tiles_w, tiles_n = tl.cdiv(W_out, BLOCK_W), tl.cdiv(C_out, BLOCK_N)
    tiles_m = tl.cdiv(H_out, BLOCK_H) * tiles_w
    pid = tl.program_id(0)
    pid_m, pid_n = tl.swizzle2d(pid // tiles_n, pid % tiles_n, tiles_m, tiles_n, GROUP_M)
    part = tl.program_id(1).to(tl.int64)
    b = tl.program_id(2) // (UP * UP)
    phase = tl.program_id(2) % (UP * UP)
    i0, j0, n0 = (pid_m // tiles_w) * BLOCK_H, (pid_m % tiles_w) * BLOCK_W, pid_n * BLOCK_N
    h0, w0 = i0 - pad_h + phase // UP, j0 - pad_w + phase % UP

    BLOCK_M: tl.constexpr = BLOCK_H * BLOCK_W
    blocks_c = tl.cdiv(C, BLOCK_K)
    first = tl.program_id(1) * steps_per_part
    acc = tl.zeros([BLOCK_N, BLOCK_M], dtype=tl.float32)
    for step in range(first, min(first + steps_per_part, KH * KW * blocks_c)):
        tap, c = step // blocks_c, (step % blocks_c) * BLOCK_K
        x = x_desc.load([b, h0 + tap // KW, w0 + tap % KW, c]).reshape(BLOCK_M, BLOCK_K)
        weight = weight_desc.load([phase * C_out + n0, tap * C + c])
        acc = tl.dot(weight, x.T, acc)

    m = tl.arange(0, BLOCK_M)
    i, j, n = i0 + m // BLOCK_W, j0 + m % BLOCK_W, n0 + tl.arange(0, BLOCK_N)
    finish(
        acc.T, b.to(tl.int64), i * UP + phase // UP, j * UP + phase % UP, n, (i < H_out) & (j < W_out), n < C_out,
        y_ptr + part * stride_ps, bias_ptr, embedding_ptr, residual_ptr,
        scale,
        stride_yb, stride_yh, stride_yw,
        stride_eb,
        stride_rb, stride_rh, stride_rw,
        ACTIVATION,
    )  # fmt: skip

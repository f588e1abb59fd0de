"""Convolution as a matrix product whose left side is gathered: any kernel size, stride, width and architecture.

A program computes BLOCK_M pixels of one sample in BLOCK_N channels. Each step of its loop reads BLOCK_K of the
taps * C products a pixel has: of one tap, or of several where C < BLOCK_K. The group norm of `Norm` and its SiLU are
applied to what is read; what lies outside the picture stays zero, as padding comes after the norm.
"""

import triton
import triton.language as tl

from fewstep.kernels.conv2d_epilogue import activate, finish


@triton.jit
def gather_kernel(
    x_ptr, weight_ptr, mean_ptr, rstd_ptr, gamma_ptr, beta_ptr, film_scale_ptr, film_shift_ptr,
    y_ptr, bias_ptr, embedding_ptr, residual_ptr,
    H, W, C, H_out, W_out, C_out, pad_h, pad_w, group_size, steps_per_part, scale,
    stride_xb, stride_xh, stride_xw,
    stride_film_scale_b, stride_film_shift_b,
    stride_ps, stride_yb, stride_yh, stride_yw,
    stride_eb,
    stride_rb, stride_rh, stride_rw,
    KH: tl.constexpr, KW: tl.constexpr,
    STRIDE: tl.constexpr,
    UP: tl.constexpr,
    NORM_SILU: tl.constexpr,
    ACTIVATION: tl.constexpr,
    NARROW: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
):  # fmt: skip
    tiles_m, tiles_n = tl.cdiv(H_out * W_out, BLOCK_M), tl.cdiv(C_out, BLOCK_N)
    pid = tl.program_id(0)
    pid_m, pid_n = tl.swizzle2d(pid // tiles_n, pid % tiles_n, tiles_m, tiles_n, GROUP_M)
    part = tl.program_id(1).to(tl.int64)
    b = (tl.program_id(2) // (UP * UP)).to(tl.int64)
    phase = tl.program_id(2) % (UP * UP)
    m = pid_m * BLOCK_M + tl.arange(0, BLOCK_M)
    n = pid_n * BLOCK_N + tl.arange(0, BLOCK_N)
    mask_m, mask_n = m < H_out * W_out, n < C_out
    i, j = m // W_out, m % W_out
    h0 = (i * STRIDE - pad_h + phase // UP)[:, None]  # [BLOCK_M, 1]
    w0 = (j * STRIDE - pad_w + phase % UP)[:, None]
    pixel_ptr = x_ptr + b * stride_xb + h0.to(tl.int64) * stride_xh + w0.to(tl.int64) * stride_xw
    row_ptr = weight_ptr + (phase * C_out + n).to(tl.int64)[None, :] * (KH * KW * C)  # [1, BLOCK_N]

    offs_k = tl.arange(0, BLOCK_K)
    blocks_c = tl.cdiv(C, BLOCK_K)
    steps = tl.cdiv(KH * KW * C, BLOCK_K) if NARROW else KH * KW * blocks_c
    first = tl.program_id(1) * steps_per_part
    acc = tl.zeros([BLOCK_M, BLOCK_N], dtype=tl.float32)
    for step in range(first, min(first + steps_per_part, steps)):
        if NARROW:
            k = step * BLOCK_K + offs_k
            tap, c = k // C, k % C
            mask_k = k < KH * KW * C
        else:
            tap = step // blocks_c
            c = (step % blocks_c) * BLOCK_K + offs_k
            k = tap * C + c
            mask_k = c < C
        dh, dw = tap // KW, tap % KW
        if NARROW:
            dh, dw = dh[None, :], dw[None, :]
        h, w = h0 + dh, w0 + dw
        inside = mask_m[:, None] & mask_k[None, :] & (h >= 0) & (h < H) & (w >= 0) & (w < W)
        x = tl.load(pixel_ptr + (dh * stride_xh + dw * stride_xw + c[None, :]), mask=inside, other=0.0)
        weight = tl.load(row_ptr + k[:, None], mask=mask_k[:, None] & mask_n[None, :], other=0.0)
        if mean_ptr is not None:
            g = b * (C // group_size) + c // group_size
            mean = tl.load(mean_ptr + g, mask=mask_k, other=0.0)
            gain = tl.load(rstd_ptr + g, mask=mask_k, other=0.0)
            offset = tl.zeros([BLOCK_K], dtype=tl.float32)
            if gamma_ptr is not None:
                gain *= tl.load(gamma_ptr + c, mask=mask_k, other=0.0).to(tl.float32)
                offset = tl.load(beta_ptr + c, mask=mask_k, other=0.0).to(tl.float32)
            if film_scale_ptr is not None:
                film = 1 + tl.load(film_scale_ptr + b * stride_film_scale_b + c, mask=mask_k, other=0.0).to(tl.float32)
                shift = tl.load(film_shift_ptr + b * stride_film_shift_b + c, mask=mask_k, other=0.0).to(tl.float32)
                gain, offset = gain * film, offset * film + shift
            normed = (x.to(tl.float32) - mean[None, :]) * gain[None, :] + offset[None, :]
            normed = activate(normed, "silu" if NORM_SILU else None)
            x = tl.where(inside, normed, 0.0).to(x_ptr.dtype.element_ty)
        acc = tl.dot(x, weight, acc, input_precision="ieee")

    finish(
        acc, b, i * UP + phase // UP, j * UP + phase % UP, n, mask_m, mask_n,
        y_ptr + part * stride_ps, bias_ptr, embedding_ptr, residual_ptr,
        scale,
        stride_yb, stride_yh, stride_yw,
        stride_eb,
        stride_rb, stride_rh, stride_rw,
        ACTIVATION,
    )  # fmt: skip

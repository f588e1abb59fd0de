"""3x3 depthwise convolution of channels-last pictures, padding 1, with SANA's gate: one pass over memory.

y[b, c, i, j] = bias[c] + sum over u, v of x[b, c, i + u - 1, j + v - 1] * weight[c, 0, u, v]; gated: the channels are
two halves, of value and gate, and y = value * silu(gate), which halves what is written. x: (B, C, H, W), channels last
(any strides but the channels'); weight: (3, 3, C) as `arrange_depthwise_weight` gives it; bias: (C,); y: (B, C or
C / 2, H, W), channels last. fp16, bf16 or fp32 in; fp32 arithmetic; y has the dtype of x.

A program walks down a strip of the picture: each row is read once and adds to three rows of sums.

GLUMBConv: Xie et al. 2024 (arXiv 2410.10629).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.checks import check_device, check_dtype, check_last_contiguous, check_range, check_shape
from fewstep.kernels.conv2d_checks import MAX_SIDE, check_channels_last
from fewstep.kernels.conv2d_epilogue import activate, launch
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, run_all
from fewstep.kernels.tuned import Config, tuned


def arrange_depthwise_weight(weight: Tensor) -> Tensor:
    """(C, 1, 3, 3), as torch.nn.Conv2d keeps it, to (3, 3, C): one tap of all channels after the other."""
    check_shape("weight", weight, (None, 1, 3, 3))
    return weight[:, 0].permute(1, 2, 0).contiguous()


def depthwise_conv2d_ref(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gated: bool = False) -> Tensor:
    """What the kernel must equal, in the dtype of its inputs."""
    f = torch.nn.functional
    y = f.conv2d(x, weight.permute(2, 0, 1)[:, None], bias, padding=1, groups=x.shape[1])
    if not gated:
        return y
    value, gate = y.chunk(2, dim=1)
    return value * f.silu(gate)


@triton.jit
def _load_tap(weight_ptr, tap, C, d, mask):
    return tl.load(weight_ptr + tap * C + d, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _load_taps(weight_ptr, C, d, mask):
    """Nine [BLOCK_D], row by row."""
    return (
        _load_tap(weight_ptr, 0, C, d, mask),
        _load_tap(weight_ptr, 1, C, d, mask),
        _load_tap(weight_ptr, 2, C, d, mask),
        _load_tap(weight_ptr, 3, C, d, mask),
        _load_tap(weight_ptr, 4, C, d, mask),
        _load_tap(weight_ptr, 5, C, d, mask),
        _load_tap(weight_ptr, 6, C, d, mask),
        _load_tap(weight_ptr, 7, C, d, mask),
        _load_tap(weight_ptr, 8, C, d, mask),
    )


@triton.jit
def _advance(row_ptr, stride_w, j, W, mask, taps, above, here):
    """Add one row of the picture: returns the sums of the row above it, now complete, of its own and of the next."""
    left = tl.load(row_ptr - stride_w, mask=mask & (j >= 1)[:, None], other=0.0).to(tl.float32)
    middle = tl.load(row_ptr, mask=mask, other=0.0).to(tl.float32)
    right = tl.load(row_ptr + stride_w, mask=mask & (j + 1 < W)[:, None], other=0.0).to(tl.float32)
    done = above + left * taps[6] + middle * taps[7] + right * taps[8]
    above = here + left * taps[3] + middle * taps[4] + right * taps[5]
    here = left * taps[0] + middle * taps[1] + right * taps[2]
    return done, above, here


@triton.jit
def _depthwise_conv2d_kernel(
    x_ptr, weight_ptr, y_ptr, bias_ptr,
    C, D, H, W,
    stride_xb, stride_xh, stride_xw,
    stride_yb, stride_yh, stride_yw,
    GATED: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # fmt: skip
    strips = tl.cdiv(H, ROWS)
    b = (tl.program_id(2) // strips).to(tl.int64)
    first = (tl.program_id(2) % strips) * ROWS
    j = tl.program_id(1) * BLOCK_W + tl.arange(0, BLOCK_W)
    d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    mask_d = d < D

    columns = b * stride_xb + j.to(tl.int64)[:, None] * stride_xw + d[None, :]  # [BLOCK_W, BLOCK_D]
    taps = _load_taps(weight_ptr, C, d, mask_d)
    above = tl.zeros([BLOCK_W, BLOCK_D], dtype=tl.float32)
    here = above
    bias = tl.zeros([BLOCK_D], dtype=tl.float32)
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + d, mask=mask_d, other=0.0).to(tl.float32)
    if GATED:
        gate_taps = _load_taps(weight_ptr + D, C, d, mask_d)
        gate_above, gate_here = above, above
        gate_bias = bias
        if bias_ptr is not None:
            gate_bias = tl.load(bias_ptr + D + d, mask=mask_d, other=0.0).to(tl.float32)

    for step in range(ROWS + 2):
        i = first - 1 + step + tl.zeros_like(j)  # [BLOCK_W]
        row_ptr = x_ptr + columns + i.to(tl.int64)[:, None] * stride_xh
        inside = ((i >= 0) & (i < H) & (j < W))[:, None] & mask_d[None, :]
        y, above, here = _advance(row_ptr, stride_xw, j, W, inside, taps, above, here)
        y += bias
        if GATED:
            gate, gate_above, gate_here = _advance(
                row_ptr + D, stride_xw, j, W, inside, gate_taps, gate_above, gate_here
            )
            y *= activate(gate + gate_bias, "silu")
        complete = ((i > first) & (i <= H) & (j < W))[:, None] & mask_d[None, :]
        pixels = b * stride_yb + (i - 1).to(tl.int64) * stride_yh + j.to(tl.int64) * stride_yw
        tl.store(y_ptr + pixels[:, None] + d[None, :], y.to(y_ptr.dtype.element_ty), mask=complete)


def depthwise_conv2d_launches(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    gated: bool = False,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated, and the launches that write it. Tensors on meta describe the launch alone, for sm_<arch>."""
    check_shape("x", x, (None, None, None, None))
    B, C, H, W = x.shape
    check_range("height", H, 1, MAX_SIDE)
    check_range("width", W, 1, MAX_SIDE)
    if gated and C % 2:
        raise InputError(f"x: expected an even number of channels, of which half are gates, got {C}")
    check_shape("weight", weight, (3, 3, C))
    if bias is not None:
        check_shape("bias", bias, (C,))
        check_dtype("bias", bias)
        check_last_contiguous("bias", bias)
    for name, tensor in (("x", x), ("weight", weight)):
        check_dtype(name, tensor)
    check_channels_last("x", x)
    if not weight.is_contiguous():
        raise InputError(f"weight: expected it contiguous, got strides {tuple(weight.stride())}")
    check_device(x=x, weight=weight, bias=bias)

    D = C // 2 if gated else C
    y = torch.empty((B, H, W, D), dtype=x.dtype, device=x.device).permute(0, 3, 1, 2)
    key = f"{B}x{C}x{H}x{W} {'gated ' * gated}{x.dtype}"
    chosen = config or tuned("depthwise_conv2d", key, arch or architecture(x))
    chosen = chosen or {"ROWS": 8, "BLOCK_W": 4, "BLOCK_D": 64, "num_warps": 4}
    args = {
        "x_ptr": x, "weight_ptr": weight, "y_ptr": y, "bias_ptr": bias,
        "C": C, "D": D, "H": H, "W": W,
        "stride_xb": x.stride(0), "stride_xh": x.stride(2), "stride_xw": x.stride(3),
        "stride_yb": y.stride(0), "stride_yh": y.stride(2), "stride_yw": y.stride(3),
    }  # fmt: skip
    tiles = triton.cdiv(D, chosen["BLOCK_D"]), triton.cdiv(W, chosen["BLOCK_W"])
    grid = (*tiles, B * triton.cdiv(H, chosen["ROWS"]))
    return y, [launch(_depthwise_conv2d_kernel, grid, args, {"GATED": gated} | chosen)]


def depthwise_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gated: bool = False) -> Tensor:
    """y: (B, C, H, W), or (B, C / 2, H, W) if gated; x: (B, C, H, W), weight: (3, 3, C). Raises InputError."""
    y, launches = depthwise_conv2d_launches(x, weight, bias, gated=gated)
    run_all(launches)
    return y


def depthwise_conv2d_cost(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gated: bool = False) -> Cost:
    written = nbytes(x) // 2 if gated else nbytes(x)
    return Cost(nbytes(x, weight, bias) + written, 18 * x.numel())

"""The end of a convolution: y = activation((sum + bias + embedding + residual) * scale), in fp32.

`finish` is that end, called by each convolution kernel. Where the input channels are split over several programs, each
writes its part of the sum in fp32, and the kernel here adds the parts, always in the same order, and finishes.
"""

from dataclasses import dataclass
from typing import Any, Literal

import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.launch import Launch
from fewstep.kernels.tuned import Config

Activation = Literal["silu", "relu"]
ADD_CONFIG: Config = {"BLOCK_P": 4, "BLOCK_N": 256, "num_warps": 4}


@dataclass(frozen=True)
class Epilogue:
    """bias: (C_out,); embedding: (B, C_out), such as a time's; residual: like y."""

    bias: Tensor | None = None
    embedding: Tensor | None = None
    residual: Tensor | None = None
    scale: float = 1.0
    activation: Activation | None = None

    def args(self, y: Tensor) -> dict[str, Any]:
        """What `finish` needs to know. y: (B, C_out, H, W), channels last."""
        r = self.residual
        return {
            "y_ptr": y, "bias_ptr": self.bias, "embedding_ptr": self.embedding, "residual_ptr": r,
            "scale": self.scale,
            "stride_yb": y.stride(0), "stride_yh": y.stride(2), "stride_yw": y.stride(3),
            "stride_eb": 0 if self.embedding is None else self.embedding.stride(0),
            "stride_rb": 0 if r is None else r.stride(0),
            "stride_rh": 0 if r is None else r.stride(2),
            "stride_rw": 0 if r is None else r.stride(3),
        }  # fmt: skip


def launch(kernel: Any, grid: tuple[int, int, int], args: dict[str, Any], config: Config) -> Launch:
    """Pointers to what is absent are constants: the compiler drops what they would be read for."""
    absent = {name: None for name, value in args.items() if value is None}
    return Launch(kernel, grid, {n: v for n, v in args.items() if n not in absent}, absent | config)


@triton.jit
def activate(y, ACTIVATION: tl.constexpr):
    if ACTIVATION == "silu":
        y = y / (1 + tl.exp2(-1.4426950408889634 * y))
    elif ACTIVATION == "relu":
        y = tl.where(y < 0, 0.0, y)  # a NaN stays one
    return y


@triton.jit
def finish(
    acc, b, i, j, n, mask_p, mask_n,
    y_ptr, bias_ptr, embedding_ptr, residual_ptr,
    scale,
    stride_yb, stride_yh, stride_yw,
    stride_eb,
    stride_rb, stride_rh, stride_rw,
    ACTIVATION: tl.constexpr,
):  # fmt: skip
    """acc: [P, N], the sums of the pixels (i, j) [P] of sample b, in the channels n [N]."""
    if bias_ptr is not None:
        acc += tl.load(bias_ptr + n, mask=mask_n, other=0.0).to(tl.float32)[None, :]
    if embedding_ptr is not None:
        acc += tl.load(embedding_ptr + b * stride_eb + n, mask=mask_n, other=0.0).to(tl.float32)[None, :]
    i = i.to(tl.int64)
    j = j.to(tl.int64)
    mask = mask_p[:, None] & mask_n[None, :]
    if residual_ptr is not None:
        pixels = b * stride_rb + i * stride_rh + j * stride_rw
        acc += tl.load(residual_ptr + pixels[:, None] + n[None, :], mask=mask, other=0.0).to(tl.float32)
    pixels = b * stride_yb + i * stride_yh + j * stride_yw
    y = activate(acc * scale, ACTIVATION)
    tl.store(y_ptr + pixels[:, None] + n[None, :], y.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _add_parts_kernel(
    parts_ptr, y_ptr, bias_ptr, embedding_ptr, residual_ptr,
    PARTS, H, W, C_out, scale,
    stride_ps, stride_pb,
    stride_yb, stride_yh, stride_yw,
    stride_eb,
    stride_rb, stride_rh, stride_rw,
    ACTIVATION: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_N: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(2).to(tl.int64)
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)  # a grid's other axes end at 65535
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    mask_p, mask_n = p < H * W, n < C_out

    part_ptr = parts_ptr + b * stride_pb + p.to(tl.int64)[:, None] * C_out + n[None, :]
    acc = tl.zeros([BLOCK_P, BLOCK_N], dtype=tl.float32)
    for s in range(PARTS):
        at = part_ptr + tl.cast(s, tl.int64) * stride_ps
        acc += tl.load(at, mask=mask_p[:, None] & mask_n[None, :], other=0.0)
    finish(
        acc, b, p // W, p % W, n, mask_p, mask_n,
        y_ptr, bias_ptr, embedding_ptr, residual_ptr,
        scale,
        stride_yb, stride_yh, stride_yw,
        stride_eb,
        stride_rb, stride_rh, stride_rw,
        ACTIVATION,
    )  # fmt: skip


def add_parts_launch(parts: Tensor, y: Tensor, epilogue: Epilogue, config: Config = ADD_CONFIG) -> Launch:
    """parts: (PARTS, B, H, W, C_out) fp32, contiguous; y: (B, C_out, H, W), channels last."""
    PARTS, B, H, W, C_out = parts.shape
    args = {
        "parts_ptr": parts,
        "PARTS": PARTS, "H": H, "W": W, "C_out": C_out,
        "stride_ps": parts.stride(0), "stride_pb": parts.stride(1),
    } | epilogue.args(y)  # fmt: skip
    grid = (triton.cdiv(H * W, config["BLOCK_P"]), triton.cdiv(C_out, config["BLOCK_N"]), B)
    return launch(_add_parts_kernel, grid, args, {"ACTIVATION": epilogue.activation} | config)

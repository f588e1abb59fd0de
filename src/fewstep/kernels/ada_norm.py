"""Normalisation over the last axis: y = (norm(x) * weight + bias) * (1 + scale) + shift, one pass over x.

x is (B, N, D), its last axis contiguous; weight and bias are (D,); scale and shift are (B, D), of each sample, or
(B, N, D), of each token. Each of the four may be absent, so that this is adaLN (Peebles & Xie 2023, arXiv 2212.09748),
LayerNorm (arXiv 1607.06450) and RMSNorm (arXiv 1910.07467). Arithmetic is fp32; y has the dtype of x.
"""

from typing import get_args

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.checks import check_choice, check_device
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, present, run_all
from fewstep.kernels.modulation import (
    Norm,
    check_modulation,
    check_rows,
    load_row,
    modulate,
    modulation_strides,
    normalise,
    rows_config,
)
from fewstep.kernels.tuned import Config, tuned


def ada_norm_ref(
    x: Tensor,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    *,
    norm: Norm = "layer",
    eps: float = 1e-6,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """What the kernel must equal, in the dtype of its inputs."""
    f = torch.nn.functional
    if norm == "layer":
        y = f.layer_norm(x, x.shape[-1:], weight, bias, eps)
    else:
        y = f.rms_norm(x, x.shape[-1:], weight, eps)
        y = y if bias is None else y + bias
    scale, shift = (m[:, None] if m is not None and m.dim() == 2 else m for m in (scale, shift))
    y = y if scale is None else y * (1 + scale)
    return y if shift is None else y + shift


@triton.jit
def _ada_norm_kernel(
    x_ptr, weight_ptr, bias_ptr, scale_ptr, shift_ptr, y_ptr,
    N, D, eps,
    stride_xb, stride_xn,
    stride_scale_b, stride_scale_n,
    stride_shift_b, stride_shift_n,
    stride_yb, stride_yn,
    IS_LAYER: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    d = tl.arange(0, BLOCK_D)
    mask = (n < N)[:, None] & (d < D)[None, :]

    # All loads are issued before the reductions wait.
    x = tl.load(x_ptr + b * stride_xb + n[:, None] * stride_xn + d[None, :], mask=mask, other=0.0)  # [BLOCK_N, BLOCK_D]
    weight = load_row(weight_ptr, 0, n, d, mask, D, 0, None, 1.0)
    bias = load_row(bias_ptr, 0, n, d, mask, D, 0, None, 0.0)
    scale = load_row(scale_ptr, b, n, d, mask, D, stride_scale_b, stride_scale_n, 0.0)
    shift = load_row(shift_ptr, b, n, d, mask, D, stride_shift_b, stride_shift_n, 0.0)

    y = modulate(normalise(x.to(tl.float32), mask, D, eps, IS_LAYER), weight, bias, scale, shift)
    y_ptrs = y_ptr + b * stride_yb + n[:, None] * stride_yn + d[None, :]
    tl.store(y_ptrs, y.to(y_ptr.dtype.element_ty), mask=mask)


def ada_norm_launches(
    x: Tensor,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    *,
    norm: Norm = "layer",
    eps: float = 1e-6,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    out: Tensor | None = None,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated unless it is out, and the launches that write it. On meta, for sm_<arch>."""
    B, N, D = check_rows(x=x) if out is None else check_rows(x=x, out=out)
    check_modulation(B, N, D, weight=weight, bias=bias, scale=scale, shift=shift)
    check_choice("norm", norm, get_args(Norm))
    check_device(x=x, weight=weight, bias=bias, scale=scale, shift=shift, out=out)

    y = torch.empty((B, N, D), dtype=x.dtype, device=x.device) if out is None else out
    args, absent = present({
        "x_ptr": x, "weight_ptr": weight, "bias_ptr": bias, "scale_ptr": scale, "shift_ptr": shift, "y_ptr": y,
        "N": N, "D": D, "eps": eps,
        "stride_xb": x.stride(0), "stride_xn": x.stride(1),
        **modulation_strides("scale", scale),
        **modulation_strides("shift", shift),
        "stride_yb": y.stride(0), "stride_yn": y.stride(1),
    })  # fmt: skip
    key = f"{B}x{N}x{D} {x.dtype}"
    chosen = rows_config(D) | (config or tuned("ada_norm", key, arch or architecture(x)) or {})
    grid = (triton.cdiv(N, chosen["BLOCK_N"]), B, 1)
    return y, [Launch(_ada_norm_kernel, grid, args, absent | {"IS_LAYER": norm == "layer"} | chosen)]


def ada_norm(
    x: Tensor,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    *,
    norm: Norm = "layer",
    eps: float = 1e-6,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Returns (norm(x) * weight + bias) * (1 + scale) + shift. x: (B, N, D). Raises InputError."""
    y, launches = ada_norm_launches(x, scale, shift, norm=norm, eps=eps, weight=weight, bias=bias)
    run_all(launches)
    return y


def ada_norm_cost(
    x: Tensor,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    *,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    **_: object,
) -> Cost:
    return Cost(nbytes(x, x, scale, shift, weight, bias), 8 * x.numel())

"""adaLN modulation: y = norm(x) * (1 + scale) + shift, one pass over x. norm: LayerNorm or RMSNorm without affine.

x is (B, N, D), its last axis contiguous; scale and shift are (B, D), of each sample, or (B, N, D), of each token.
Statistics and arithmetic are fp32; y has the dtype of x. Peebles & Xie 2023 (arXiv 2212.09748), adaLN.
"""

from typing import Literal

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.checks import check_device, check_dtype, check_last_contiguous, check_range, check_shape
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, run_all
from fewstep.kernels.tuned import Config, tuned

Norm = Literal["layer", "rms"]
MAX_D = 16384  # one row must fit in one program


def ada_norm_ref(x: Tensor, scale: Tensor, shift: Tensor, *, norm: Norm = "layer", eps: float = 1e-6) -> Tensor:
    """What the kernel must equal, in the dtype of its inputs."""
    f = torch.nn.functional
    y = f.layer_norm(x, x.shape[-1:], eps=eps) if norm == "layer" else f.rms_norm(x, x.shape[-1:], eps=eps)
    scale, shift = (m[:, None] if m.dim() == 2 else m for m in (scale, shift))
    return y * (1 + scale) + shift


@triton.jit
def _ada_norm_kernel(
    x_ptr, scale_ptr, shift_ptr, y_ptr,
    D, eps,
    stride_xb, stride_xn,
    stride_yb, stride_yn,
    stride_scale_b, stride_scale_n,
    stride_shift_b, stride_shift_n,
    IS_LAYER: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    b = tl.program_id(1).to(tl.int64)
    d = tl.arange(0, BLOCK_D)
    mask = d < D

    x = tl.load(x_ptr + b * stride_xb + n * stride_xn + d, mask=mask, other=0.0).to(tl.float32)  # [BLOCK_D]
    if IS_LAYER:
        x = tl.where(mask, x - tl.sum(x) / D, 0.0)
    rstd = tl.rsqrt(tl.sum(x * x) / D + eps)

    scale = tl.load(scale_ptr + b * stride_scale_b + n * stride_scale_n + d, mask=mask, other=0.0).to(tl.float32)
    shift = tl.load(shift_ptr + b * stride_shift_b + n * stride_shift_n + d, mask=mask, other=0.0).to(tl.float32)
    y = x * rstd * (1 + scale) + shift
    tl.store(y_ptr + b * stride_yb + n * stride_yn + d, y.to(y_ptr.dtype.element_ty), mask=mask)


def ada_norm_launches(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    *,
    norm: Norm = "layer",
    eps: float = 1e-6,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated, and the launches that write it. Tensors on meta describe the launch alone, for sm_<arch>."""
    check_shape("x", x, (None, None, None))
    B, N, D = x.shape
    check_range("D", D, 1, MAX_D)
    for name, m in (("scale", scale), ("shift", shift)):
        check_shape(name, m, (B, D) if m.dim() == 2 else (B, N, D))
        check_last_contiguous(name, m)
        check_dtype(name, m)
    check_dtype("x", x)
    check_last_contiguous("x", x)
    check_device(x=x, scale=scale, shift=shift)

    y = torch.empty((B, N, D), dtype=x.dtype, device=x.device)
    key = f"{B}x{N}x{D} {x.dtype}"
    args = {
        "x_ptr": x, "scale_ptr": scale, "shift_ptr": shift, "y_ptr": y,
        "D": D, "eps": eps,
        "stride_xb": x.stride(0), "stride_xn": x.stride(1),
        "stride_yb": y.stride(0), "stride_yn": y.stride(1),
        "stride_scale_b": scale.stride(0), "stride_scale_n": scale.stride(1) if scale.dim() == 3 else 0,
        "stride_shift_b": shift.stride(0), "stride_shift_n": shift.stride(1) if shift.dim() == 3 else 0,
    }  # fmt: skip
    chosen = config or tuned("ada_norm", key, arch or architecture(x)) or {"num_warps": min(16, max(1, D // 512))}
    constants = {"IS_LAYER": norm == "layer", "BLOCK_D": triton.next_power_of_2(D)}
    return y, [Launch(_ada_norm_kernel, (N, B, 1), args, constants | chosen)]


def ada_norm(x: Tensor, scale: Tensor, shift: Tensor, *, norm: Norm = "layer", eps: float = 1e-6) -> Tensor:
    """Returns norm(x) * (1 + scale) + shift. x: (B, N, D); scale, shift: (B, D) or (B, N, D). Raises InputError."""
    y, launches = ada_norm_launches(x, scale, shift, norm=norm, eps=eps)
    run_all(launches)
    return y


def ada_norm_cost(x: Tensor, scale: Tensor, shift: Tensor, **_: object) -> Cost:
    return Cost(nbytes(x, x, scale, shift), 8 * x.numel())

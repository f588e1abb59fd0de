"""GroupNorm (Wu & He 2018, arXiv 1803.08494): y = silu((norm(x + residual) * weight + bias) * (1 + scale) + shift).

x and residual are (B, C, H, W), NCHW or channels_last or views of them, or (B, C, N); weight and bias are (C,), scale
and shift, of FiLM (arXiv 1709.07871), are (B, C). All but x may be absent, silu is an option. y is channels_last, in
x's dtype; arithmetic is fp32, but x + residual, which is returned too, is rounded before it is normalised.

Where one program can hold a group it reads x once; else `group_norm_split` reads it twice.
"""

from typing import Any, overload

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.group_norm_problem import Problem, check_problem, chosen_for
from fewstep.kernels.group_norm_slab import (
    activate,
    channel_affine,
    load_sum,
    membership,
    pivots,
    slab_channels,
    to_channels,
    to_groups,
)
from fewstep.kernels.group_norm_split import apply_launch, moments_launch
from fewstep.kernels.launch import Launch, present, run_all
from fewstep.kernels.pixels import empty_channels_last, image_strides, pixel_offsets
from fewstep.kernels.tuned import Config

Output = Tensor | tuple[Tensor, Tensor]


def group_norm_ref(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    eps: float = 1e-5,
    silu: bool = False,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    residual: Tensor | None = None,
) -> Output:
    """What the kernel must equal, in the dtype of its inputs."""
    x = x if residual is None else x + residual
    y = torch.nn.functional.group_norm(x, groups, weight, bias, eps)
    scale, shift = (m if m is None else m.reshape(*m.shape, *[1] * (x.dim() - 2)) for m in (scale, shift))
    y = y if scale is None else y * (1 + scale)
    y = y if shift is None else y + shift
    y = torch.nn.functional.silu(y) if silu else y
    return y if residual is None else (y, x)


@triton.jit
def _group_norm_kernel(
    x_ptr, residual_ptr, weight_ptr, bias_ptr, scale_ptr, shift_ptr, y_ptr, sum_ptr,
    C, G, P, W, eps,
    stride_xb, stride_xc, stride_xh, stride_xw,
    stride_rb, stride_rc, stride_rh, stride_rw,
    stride_scale_b, stride_shift_b,
    SILU: tl.constexpr, CG: tl.constexpr, SLAB_G: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_G: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(1).to(tl.int64)
    c, c_mask = slab_channels(tl.program_id(0), C, CG, SLAB_G, BLOCK_C)
    p = tl.arange(0, BLOCK_P)
    mask = (p < P)[:, None] & c_mask[None, :]

    x_ptr += b * stride_xb
    x_ptrs = x_ptr + pixel_offsets(p, W, stride_xh, stride_xw)[:, None] + c[None, :] * stride_xc
    r_ptrs = None
    if residual_ptr is not None:
        residual_ptr += b * stride_rb
        r_ptrs = residual_ptr + pixel_offsets(p, W, stride_rh, stride_rw)[:, None] + c[None, :] * stride_rc
    x = load_sum(x_ptrs, r_ptrs, mask)  # [BLOCK_P, BLOCK_C]
    if sum_ptr is not None:
        sum_ptrs = sum_ptr + b * P * C + pixel_offsets(p, W, None, C)[:, None] + c[None, :]
        tl.store(sum_ptrs, x.to(sum_ptr.dtype.element_ty), mask=mask)

    pivot = pivots(x_ptr, residual_ptr, c, c_mask, stride_xc, stride_rc, CG)
    shifted = tl.where(mask, x - pivot[None, :], 0.0)
    member = membership(CG, BLOCK_C, BLOCK_G)
    mean = to_groups(tl.sum(shifted, axis=0), member) / (P * CG)
    deviation = tl.where(mask, shifted - to_channels(mean, member)[None, :], 0.0)
    variance = to_groups(tl.sum(deviation * deviation, axis=0), member) / (P * CG)
    factor, summand = channel_affine(
        to_channels(tl.rsqrt(variance + eps), member),
        weight_ptr, bias_ptr, scale_ptr, shift_ptr, b, c, c_mask, stride_scale_b, stride_shift_b,
    )  # fmt: skip
    y = activate(deviation * factor[None, :] + summand[None, :], SILU)
    y_ptrs = y_ptr + b * P * C + pixel_offsets(p, W, None, C)[:, None] + c[None, :]
    tl.store(y_ptrs, y.to(y_ptr.dtype.element_ty), mask=mask)


def group_norm_launches(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    eps: float = 1e-5,
    silu: bool = False,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    residual: Tensor | None = None,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Output, list[Launch]]:
    """y, or y and x + residual, allocated, and the launches that write them. On meta, for sm_<arch>."""
    channels = {"weight": weight, "bias": bias, "scale": scale, "shift": shift}
    problem = check_problem(x, groups, eps, residual, arch, **channels)
    chosen = problem.config("group_norm", config)

    y = empty_channels_last(x, x.shape)
    x_sum = None if residual is None else empty_channels_last(x, x.shape)
    operands = {f"{name}_ptr": m for name, m in channels.items()} | {
        "stride_scale_b": None if scale is None else scale.stride(0),
        "stride_shift_b": None if shift is None else shift.stride(0),
    }
    if chosen["CHUNKS"] == 0:
        launches = [_one_pass(problem, operands, y, x_sum, silu, chosen)]
    else:
        first, moments = moments_launch(problem, x_sum, chosen)
        launches = [first, apply_launch(problem, operands, x_sum, moments, y, silu, chosen)]
    return y if x_sum is None else (y, x_sum), launches


def _one_pass(
    problem: Problem, operands: dict[str, Any], y: Tensor, x_sum: Tensor | None, silu: bool, config: Config
) -> Launch:
    args, absent = present({
        "x_ptr": problem.x, "residual_ptr": problem.residual, "y_ptr": y, "sum_ptr": x_sum,
        **operands, **problem.args, **image_strides("r", problem.residual),
    })  # fmt: skip
    grid = (triton.cdiv(problem.groups, config["SLAB_G"]), len(problem.x), 1)
    constants = absent | {"SILU": silu} | chosen_for(config, "SLAB_G", "BLOCK_C")
    return Launch(_group_norm_kernel, grid, args, constants)


@overload
def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    eps: float = 1e-5,
    silu: bool = False,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    residual: None = None,
) -> Tensor: ...
@overload
def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    eps: float = 1e-5,
    silu: bool = False,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    residual: Tensor,
) -> tuple[Tensor, Tensor]: ...
def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    eps: float = 1e-5,
    silu: bool = False,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    residual: Tensor | None = None,
) -> Output:
    """y, channels_last, or with a residual y and x + residual. x: (B, C, H, W) or (B, C, N). Raises InputError."""
    outputs, launches = group_norm_launches(
        x, groups, weight, bias, eps=eps, silu=silu, scale=scale, shift=shift, residual=residual
    )
    run_all(launches)
    return outputs


def group_norm_cost(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    residual: Tensor | None = None,
    silu: bool = False,
    **_: object,
) -> Cost:
    moved = nbytes(x, x, residual, residual, weight, bias, scale, shift)
    return Cost(moved, (7 + 4 * silu + (residual is not None)) * x.numel())

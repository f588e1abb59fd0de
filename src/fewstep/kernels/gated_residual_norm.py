"""The end of one block and the start of the next in one pass: x_new = x + gate * branch, y = adaLN(x_new).

y = (norm(x_new) * weight + bias) * (1 + scale) + shift, as in ada_norm. With branch_weight (D,) the branch is first
RMS-normalised, as Z-Image's blocks do: x_new = x + gate * (rms(branch) * branch_weight). x and branch are (B, N, D),
their last axis contiguous; gate, scale and shift are (B, D) or (B, N, D), or absent. Arithmetic is fp32, and the norm
is of x_new before it is rounded; y and x_new have the dtype of x. Peebles & Xie 2023 (arXiv 2212.09748), adaLN-Zero.
"""

from typing import get_args

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.ada_norm import ada_norm_ref
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


def gated_residual_norm_ref(
    x: Tensor,
    branch: Tensor,
    gate: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    *,
    norm: Norm = "layer",
    eps: float = 1e-6,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    branch_weight: Tensor | None = None,
    branch_eps: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """What the kernel must equal, in the dtype of its inputs."""
    if branch_weight is not None:
        branch = torch.nn.functional.rms_norm(branch, branch.shape[-1:], branch_weight, branch_eps)
    if gate is not None:
        branch = (gate[:, None] if gate.dim() == 2 else gate) * branch
    x_new = x + branch
    return ada_norm_ref(x_new, scale, shift, norm=norm, eps=eps, weight=weight, bias=bias), x_new


@triton.jit
def _gated_residual_norm_kernel(
    x_ptr, branch_ptr, branch_weight_ptr, gate_ptr, weight_ptr, bias_ptr, scale_ptr, shift_ptr, y_ptr, x_new_ptr,
    N, D, eps, branch_eps,
    stride_xb, stride_xn,
    stride_branch_b, stride_branch_n,
    stride_gate_b, stride_gate_n,
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

    x = tl.load(x_ptr + b * stride_xb + n[:, None] * stride_xn + d[None, :], mask=mask, other=0.0)  # [BLOCK_N, BLOCK_D]
    branch_ptrs = branch_ptr + b * stride_branch_b + n[:, None] * stride_branch_n + d[None, :]
    branch = tl.load(branch_ptrs, mask=mask, other=0.0).to(tl.float32)
    branch_weight = load_row(branch_weight_ptr, 0, n, d, mask, D, 0, None, 1.0)
    gate = load_row(gate_ptr, b, n, d, mask, D, stride_gate_b, stride_gate_n, 1.0)
    if branch_weight_ptr is not None:
        branch = normalise(branch, mask, D, branch_eps, False) * branch_weight.to(tl.float32)
    x_new = x.to(tl.float32) + gate.to(tl.float32) * branch
    out = b * stride_yb + n[:, None] * stride_yn + d[None, :]
    tl.store(x_new_ptr + out, x_new.to(x_new_ptr.dtype.element_ty), mask=mask)

    # These loads are issued before the reductions wait.
    weight = load_row(weight_ptr, 0, n, d, mask, D, 0, None, 1.0)
    bias = load_row(bias_ptr, 0, n, d, mask, D, 0, None, 0.0)
    scale = load_row(scale_ptr, b, n, d, mask, D, stride_scale_b, stride_scale_n, 0.0)
    shift = load_row(shift_ptr, b, n, d, mask, D, stride_shift_b, stride_shift_n, 0.0)
    y = modulate(normalise(x_new, mask, D, eps, IS_LAYER), weight, bias, scale, shift)
    tl.store(y_ptr + out, y.to(y_ptr.dtype.element_ty), mask=mask)


def gated_residual_norm_launches(
    x: Tensor,
    branch: Tensor,
    gate: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    *,
    norm: Norm = "layer",
    eps: float = 1e-6,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    branch_weight: Tensor | None = None,
    branch_eps: float = 1e-5,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[tuple[Tensor, Tensor], list[Launch]]:
    """(y, x_new), allocated, and the launches that write them. Tensors on meta describe the launch alone."""
    B, N, D = check_rows(x=x, branch=branch)
    optional = {"branch_weight": branch_weight, "weight": weight, "bias": bias}
    modulations = {"gate": gate, "scale": scale, "shift": shift}
    check_modulation(B, N, D, **optional, **modulations)
    check_choice("norm", norm, get_args(Norm))
    check_device(x=x, branch=branch, **optional, **modulations)

    y, x_new = (torch.empty((B, N, D), dtype=x.dtype, device=x.device) for _ in range(2))
    args, absent = present({
        "x_ptr": x, "branch_ptr": branch, "branch_weight_ptr": branch_weight, "gate_ptr": gate,
        "weight_ptr": weight, "bias_ptr": bias, "scale_ptr": scale, "shift_ptr": shift, "y_ptr": y, "x_new_ptr": x_new,
        "N": N, "D": D, "eps": eps, "branch_eps": branch_eps,
        "stride_xb": x.stride(0), "stride_xn": x.stride(1),
        "stride_branch_b": branch.stride(0), "stride_branch_n": branch.stride(1),
        **modulation_strides("gate", gate),
        **modulation_strides("scale", scale),
        **modulation_strides("shift", shift),
        "stride_yb": y.stride(0), "stride_yn": y.stride(1),
    })  # fmt: skip
    key = f"{B}x{N}x{D} {x.dtype}"
    chosen = rows_config(D) | (config or tuned("gated_residual_norm", key, arch or architecture(x)) or {})
    grid = (triton.cdiv(N, chosen["BLOCK_N"]), B, 1)
    constants = absent | {"IS_LAYER": norm == "layer"} | chosen
    return (y, x_new), [Launch(_gated_residual_norm_kernel, grid, args, constants)]


def gated_residual_norm(
    x: Tensor,
    branch: Tensor,
    gate: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    *,
    norm: Norm = "layer",
    eps: float = 1e-6,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    branch_weight: Tensor | None = None,
    branch_eps: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """Returns (y, x_new) of the module's formula. x, branch: (B, N, D). Raises InputError."""
    written, launches = gated_residual_norm_launches(
        x, branch, gate, scale, shift,
        norm=norm, eps=eps, weight=weight, bias=bias, branch_weight=branch_weight, branch_eps=branch_eps,
    )  # fmt: skip
    run_all(launches)
    return written


def gated_residual_norm_cost(
    x: Tensor,
    branch: Tensor,
    gate: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    *,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    branch_weight: Tensor | None = None,
    **_: object,
) -> Cost:
    read = nbytes(x, branch, gate, scale, shift, weight, bias, branch_weight)
    return Cost(read + nbytes(x, x), 10 * x.numel())

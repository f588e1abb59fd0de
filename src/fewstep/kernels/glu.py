"""Gated linear units: y = value * act(gate), (value, gate) the halves of x + bias. Shazeer 2020 (arXiv 2002.05202).

x is (..., 2D), its last axis contiguous, value first unless gate="first"; bias is (2D,); y is (..., D). act is GELU
("geglu"), its tanh form ("geglu_tanh") or SiLU ("swiglu"). Arithmetic is fp32; y has the dtype of x.
"""

from typing import Literal, get_args

import triton
import triton.language as tl
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.activation import ACTIVATIONS, Activation, activate, as_rows, block_config, output_rows
from fewstep.kernels.checks import check_choice, check_device, check_dtype, check_last_contiguous, check_shape
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, present, run_all
from fewstep.kernels.tuned import Config, tuned

Kind = Literal["geglu", "geglu_tanh", "swiglu"]
Gate = Literal["first", "second"]
KINDS: dict[str, Activation] = {"geglu": "gelu", "geglu_tanh": "gelu_tanh", "swiglu": "silu"}


def glu_ref(
    x: Tensor, *, kind: Kind = "geglu", gate: Gate = "second", bias: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """What the kernel must equal, in the dtype of its inputs."""
    first, second = (x if bias is None else x + bias).chunk(2, dim=-1)
    act = ACTIVATIONS[KINDS[kind]]
    y = act(first) * second if gate == "first" else first * act(second)
    return y if out is None else out.copy_(y)


@triton.jit
def _glu_kernel(
    x_ptr, bias_ptr, y_ptr,
    N, D,
    stride_xb, stride_xn,
    stride_yb, stride_yn,
    ACTIVATION: tl.constexpr, GATE_FIRST: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    blocks_d = tl.cdiv(D, BLOCK_D)
    b = tl.program_id(1).to(tl.int64)
    n = (tl.program_id(0) // blocks_d).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    d = tl.program_id(0) % blocks_d * BLOCK_D + tl.arange(0, BLOCK_D)
    mask = (n < N)[:, None] & (d < D)[None, :]

    x_ptrs = x_ptr + b * stride_xb + n[:, None] * stride_xn + d[None, :]  # [BLOCK_N, BLOCK_D]
    first = tl.load(x_ptrs, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(x_ptrs + D, mask=mask, other=0.0).to(tl.float32)
    if bias_ptr is not None:
        first += tl.load(bias_ptr + d, mask=d < D, other=0.0).to(tl.float32)[None, :]
        second += tl.load(bias_ptr + D + d, mask=d < D, other=0.0).to(tl.float32)[None, :]
    y = activate(first, ACTIVATION) * second if GATE_FIRST else first * activate(second, ACTIVATION)
    y_ptrs = y_ptr + b * stride_yb + n[:, None] * stride_yn + d[None, :]
    tl.store(y_ptrs, y.to(y_ptr.dtype.element_ty), mask=mask)


def glu_launches(
    x: Tensor,
    *,
    kind: Kind = "geglu",
    gate: Gate = "second",
    bias: Tensor | None = None,
    out: Tensor | None = None,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated unless it is out, and the launches that write it. Tensors on meta describe the launch alone."""
    rows = as_rows("x", x)
    B, N, _ = rows.shape
    D, odd = divmod(rows.shape[-1], 2)
    if odd:
        raise InputError(f"x: expected an even last axis, got shape {tuple(x.shape)}")
    check_choice("kind", kind, get_args(Kind))
    check_choice("gate", gate, get_args(Gate))
    if bias is not None:
        check_shape("bias", bias, (2 * D,))
        check_dtype("bias", bias)
        check_last_contiguous("bias", bias)
    check_device(x=x, bias=bias, out=out)

    y, y_rows = output_rows(x, (*x.shape[:-1], D), out)
    args, absent = present({
        "x_ptr": x, "bias_ptr": bias, "y_ptr": y,
        "N": N, "D": D,
        "stride_xb": rows.stride(0), "stride_xn": rows.stride(1),
        "stride_yb": y_rows.stride(0), "stride_yn": y_rows.stride(1),
    })  # fmt: skip
    key = f"{B}x{N}x{D} {kind} {x.dtype}"
    chosen = block_config(D) | (config or tuned("glu", key, arch or architecture(x)) or {})
    grid = (triton.cdiv(N, chosen["BLOCK_N"]) * triton.cdiv(D, chosen["BLOCK_D"]), B, 1)
    constants = absent | {"ACTIVATION": KINDS[kind], "GATE_FIRST": gate == "first"} | chosen
    return y, [Launch(_glu_kernel, grid, args, constants)]


def glu(
    x: Tensor, *, kind: Kind = "geglu", gate: Gate = "second", bias: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """Returns value * act(gate), in out if given. x: (..., 2D), result (..., D). Raises InputError."""
    y, launches = glu_launches(x, kind=kind, gate=gate, bias=bias, out=out)
    run_all(launches)
    return y


def glu_cost(x: Tensor, *, bias: Tensor | None = None, **_: object) -> Cost:
    return Cost(nbytes(x, bias) + nbytes(x) // 2, 11 * x.numel())

"""y = act(x + bias), act being GELU or SiLU: what a feed-forward without a gate does between its two products.

x is (..., D), its last axis contiguous; bias is (D,). Arithmetic is fp32; y has the dtype of x. out may be a view into
a larger buffer, such as the columns beside an attention's output that the next product reads as well.
"""

from typing import Literal, get_args

import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.activation import ACTIVATIONS, Activation, activate, as_rows, block_config, output_rows
from fewstep.kernels.checks import check_choice, check_device, check_dtype, check_last_contiguous, check_shape
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, present, run_all
from fewstep.kernels.tuned import Config, tuned

Kind = Literal["erf", "tanh", "silu"]
KINDS: dict[str, Activation] = {"erf": "gelu", "tanh": "gelu_tanh", "silu": "silu"}


def gelu_ref(x: Tensor, *, kind: Kind = "erf", bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """What the kernel must equal, in the dtype of its inputs."""
    y = ACTIVATIONS[KINDS[kind]](x if bias is None else x + bias)
    return y if out is None else out.copy_(y)


@triton.jit
def _gelu_kernel(
    x_ptr, bias_ptr, y_ptr,
    N, D,
    stride_xb, stride_xn,
    stride_yb, stride_yn,
    ACTIVATION: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    blocks_d = tl.cdiv(D, BLOCK_D)
    b = tl.program_id(1).to(tl.int64)
    n = (tl.program_id(0) // blocks_d).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    d = tl.program_id(0) % blocks_d * BLOCK_D + tl.arange(0, BLOCK_D)
    mask = (n < N)[:, None] & (d < D)[None, :]

    x = tl.load(x_ptr + b * stride_xb + n[:, None] * stride_xn + d[None, :], mask=mask, other=0.0)  # [BLOCK_N, BLOCK_D]
    x = x.to(tl.float32)
    if bias_ptr is not None:
        x += tl.load(bias_ptr + d, mask=d < D, other=0.0).to(tl.float32)[None, :]
    y = activate(x, ACTIVATION).to(y_ptr.dtype.element_ty)
    tl.store(y_ptr + b * stride_yb + n[:, None] * stride_yn + d[None, :], y, mask=mask)


def gelu_launches(
    x: Tensor,
    *,
    kind: Kind = "erf",
    bias: Tensor | None = None,
    out: Tensor | None = None,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated unless it is out, and the launches that write it. Tensors on meta describe the launch alone."""
    rows = as_rows("x", x)
    B, N, D = rows.shape
    check_choice("kind", kind, get_args(Kind))
    if bias is not None:
        check_shape("bias", bias, (D,))
        check_dtype("bias", bias)
        check_last_contiguous("bias", bias)
    check_device(x=x, bias=bias, out=out)

    y, y_rows = output_rows(x, tuple(x.shape), out)
    args, absent = present({
        "x_ptr": x, "bias_ptr": bias, "y_ptr": y,
        "N": N, "D": D,
        "stride_xb": rows.stride(0), "stride_xn": rows.stride(1),
        "stride_yb": y_rows.stride(0), "stride_yn": y_rows.stride(1),
    })  # fmt: skip
    key = f"{B}x{N}x{D} {kind} {x.dtype}"
    chosen = block_config(D) | (config or tuned("gelu", key, arch or architecture(x)) or {})
    grid = (triton.cdiv(N, chosen["BLOCK_N"]) * triton.cdiv(D, chosen["BLOCK_D"]), B, 1)
    return y, [Launch(_gelu_kernel, grid, args, absent | {"ACTIVATION": KINDS[kind]} | chosen)]


def gelu(x: Tensor, *, kind: Kind = "erf", bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """Returns act(x + bias), in out if given. x: (..., D); kind "silu" is SiLU. Raises InputError."""
    y, launches = gelu_launches(x, kind=kind, bias=bias, out=out)
    run_all(launches)
    return y


def gelu_cost(x: Tensor, *, bias: Tensor | None = None, **_: object) -> Cost:
    return Cost(nbytes(x, x, bias), 20 * x.numel())

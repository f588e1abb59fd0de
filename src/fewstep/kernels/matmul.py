"""Linear layer with its neighbours: y = residual + gate * act((a @ b.T) * scale + bias).

a is (..., K), b is (N, K) as nn.Linear keeps it, bias (N,), residual and y (..., N), gate (B, N) of each sample of a
(B, T, K). With glu, b is (2 N, K), value and gate rows, and act(...) becomes value * act(gate): GEGLU and SwiGLU
without their pass (Shazeer 2020, arXiv 2002.05202). Sums and arithmetic are fp32; y has the dtype of a.

Persistent: each multiprocessor walks over tiles, grouped so that those in flight share rows in L2. On sm_90 and later
the tiles come by the tensor memory accelerator. Few rows leave few tiles: K is then split into PARTS, added afterwards.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from fewstep.kernels.activation import ACTIVATIONS, Activation, activate
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, present, run_all
from fewstep.kernels.matmul_config import choose, multiprocessors
from fewstep.kernels.matmul_epilogue import add_parts_kernel, scaled, write
from fewstep.kernels.matmul_problem import Glu, Problem, problem
from fewstep.kernels.tuned import Config, tuned


def matmul_ref(
    a: Tensor,
    b: Tensor,
    *,
    bias: Tensor | None = None,
    activation: Activation | None = None,
    glu: Glu | None = None,
    scale: float = 1.0,
    gate: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """What the kernel must equal, in the dtype of its inputs."""
    f = torch.nn.functional
    y = f.linear(a, b, bias) if scale == 1 else f.linear(a, b) * scale + (0 if bias is None else bias)
    value, y = (None, y) if glu is None else y.chunk(2, -1) if glu == "value_first" else y.chunk(2, -1)[::-1]
    if activation is not None:
        y = ACTIVATIONS[activation](y)
    y = y if value is None else value * y
    y = y if gate is None else gate[:, None] * y
    return y if residual is None else residual + y


@triton.jit
def _matmul_kernel(
    a, b, y_ptr, bias_ptr, gate_ptr, residual_ptr,  # a and b: descriptors if IS_TMA, else pointers
    M, N, K, T, scale,
    stride_ab, stride_at,
    stride_bn,
    stride_gb,
    stride_rb, stride_rt,
    IS_TMA: tl.constexpr,
    IS_ONE_SAMPLE: tl.constexpr,
    ACTIVATION: tl.constexpr,
    GLU: tl.constexpr,
    PARTS: tl.constexpr,
    GROUP_M: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    tiles_m, tiles_n = tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N)
    tiles = tiles_m * tiles_n
    steps = tl.cdiv(tl.cdiv(K, BLOCK_K), PARTS)  # the last part reads zeros past K
    value_rows = N if GLU == "gate_first" else 0  # where those of the value and of the gate begin in b
    gate_rows = N - value_rows

    for item in tl.range(tl.program_id(0), tiles * PARTS, tl.num_programs(0), flatten=True):
        part = item // tiles
        pid_m, pid_n = tl.swizzle2d(item % tiles // tiles_n, item % tiles_n, tiles_m, tiles_n, GROUP_M)
        m0, n0 = pid_m * BLOCK_M, pid_n * BLOCK_N

        if not IS_TMA:
            m, n = m0 + tl.arange(0, BLOCK_M), n0 + tl.arange(0, BLOCK_N)
            row_x = (a + (m // T).to(tl.int64) * stride_ab + (m % T).to(tl.int64) * stride_at)[:, None]
            row_w = (b + (n + value_rows).to(tl.int64) * stride_bn)[:, None]
            row_gate = (b + (n + gate_rows).to(tl.int64) * stride_bn)[:, None]
        acc = tl.zeros([BLOCK_M, BLOCK_N], dtype=tl.float32)
        acc_gate = acc
        for step in range(steps):
            k0 = (part * steps + step) * BLOCK_K
            if IS_TMA:
                x = a.load([m0, k0])
                w = b.load([n0 + value_rows, k0])
            else:
                k = (k0 + tl.arange(0, BLOCK_K))[None, :]
                mask_w = (n < N)[:, None] & (k < K)
                x = tl.load(row_x + k, mask=(m < M)[:, None] & (k < K), other=0.0)
                w = tl.load(row_w + k, mask=mask_w, other=0.0)
            acc = tl.dot(x, w.T, acc, input_precision="ieee")
            if GLU is not None:
                w = b.load([n0 + gate_rows, k0]) if IS_TMA else tl.load(row_gate + k, mask=mask_w, other=0.0)
                acc_gate = tl.dot(x, w.T, acc_gate, input_precision="ieee")

        HALVES: tl.constexpr = 2 if BLOCK_N >= 256 else 1  # a wide tile ends in two goes, or its registers overflow
        for half in tl.static_range(HALVES):
            n1 = n0 + half * (BLOCK_N // HALVES)
            y = _half(acc, half, HALVES)
            if PARTS > 1:
                part_ptr = y_ptr + part.to(tl.int64) * M * N
                write(y, m0, n1, M, N, T, part_ptr, None, None, 0, 0, 0, IS_ONE_SAMPLE)
            else:
                y = scaled(y, n1 + value_rows, N + value_rows, scale, bias_ptr)
                if GLU is not None:
                    gate = scaled(_half(acc_gate, half, HALVES), n1 + gate_rows, N + gate_rows, scale, bias_ptr)
                    y *= activate(gate, ACTIVATION)
                elif ACTIVATION is not None:
                    y = activate(y, ACTIVATION)
                write(
                    y, m0, n1, M, N, T,
                    y_ptr, gate_ptr, residual_ptr,
                    stride_gb,
                    stride_rb, stride_rt,
                    IS_ONE_SAMPLE,
                )  # fmt: skip


@triton.jit
def _half(x, half: tl.constexpr, HALVES: tl.constexpr):
    """The left or the right columns of x, or all of them."""
    if HALVES == 2:
        left, right = x.reshape(x.shape[0], 2, x.shape[1] // 2).permute(0, 2, 1).split()
        x = left if half == 0 else right
    return x


def matmul_launches(
    a: Tensor,
    b: Tensor,
    *,
    bias: Tensor | None = None,
    activation: Activation | None = None,
    glu: Glu | None = None,
    scale: float = 1.0,
    gate: Tensor | None = None,
    residual: Tensor | None = None,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated, and the launches that write it. Tensors on meta describe them alone, for sm_<arch>."""
    task = problem(a, b, bias=bias, activation=activation, glu=glu, scale=scale, gate=gate, residual=residual)
    M, N, K = task.sizes
    y = torch.empty((*a.shape[:-1], N), dtype=a.dtype, device=a.device)
    arch = arch or architecture(a)
    is_tma, sms = arch >= 90 and task.suits_tma(), multiprocessors(a, arch)
    chosen = config or tuned("matmul", task.key, arch)
    if chosen is None:
        chosen = choose(
            M, N, K, itemsize=a.element_size(), halves=task.halves, arch=arch, sms=sms, tma=is_tma
        )  # fmt: skip
    if chosen["PARTS"] == 1:
        return y, [_product(task, y, chosen, task.epilogue, is_tma, sms)]
    parts = torch.empty((chosen["PARTS"], M, N), dtype=torch.float32, device=a.device)
    nothing = task.epilogue | {"bias_ptr": None, "gate_ptr": None, "residual_ptr": None}
    return y, [_product(task, parts, chosen, nothing, is_tma, sms), _add_parts(task, parts, y)]


def _product(task: Problem, y: Tensor, config: Config, epilogue: dict[str, Any], is_tma: bool, sms: int) -> Launch:
    M, N, K = task.sizes
    a: Any = task.a
    b: Any = task.b
    if is_tma:
        rows = task.a.as_strided((M, K), (task.row_stride() or K, 1))
        a = TensorDescriptor.from_tensor(rows, [config["BLOCK_M"], config["BLOCK_K"]])
        b = TensorDescriptor.from_tensor(task.b, [config["BLOCK_N"], config["BLOCK_K"]])
    args, absent = present({
        "a": a, "b": b, "y_ptr": y,
        "M": M, "N": N, "K": K,
        "stride_ab": task.a.stride(0), "stride_at": task.a.stride(1),
        "stride_bn": task.b.stride(0),
    } | epilogue)  # fmt: skip
    constants = {
        "IS_TMA": is_tma,
        "IS_ONE_SAMPLE": task.is_one_sample(config["BLOCK_M"]),
        "ACTIVATION": task.activation,
        "GLU": task.glu,
    }
    tiles = triton.cdiv(M, config["BLOCK_M"]) * triton.cdiv(N, config["BLOCK_N"]) * config["PARTS"]
    return Launch(_matmul_kernel, (min(tiles, sms), 1, 1), args, absent | constants | config)


def _add_parts(task: Problem, parts: Tensor, y: Tensor) -> Launch:
    PARTS, M, N = parts.shape
    config: Config = {"BLOCK_M": 1 if M == 1 else 4, "BLOCK_N": 256, "num_warps": 4}
    args, absent = present({"parts_ptr": parts, "y_ptr": y, "M": M, "N": N} | task.epilogue)
    constants = {
        "PARTS": PARTS,
        "ACTIVATION": task.activation,
        "IS_ONE_SAMPLE": task.is_one_sample(config["BLOCK_M"]),
    }
    grid = (triton.cdiv(M, config["BLOCK_M"]), triton.cdiv(N, config["BLOCK_N"]), 1)
    return Launch(add_parts_kernel, grid, args, absent | constants | config)


def matmul(
    a: Tensor,
    b: Tensor,
    *,
    bias: Tensor | None = None,
    activation: Activation | None = None,
    glu: Glu | None = None,
    scale: float = 1.0,
    gate: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """Returns residual + gate * act(a @ b.T * scale + bias). Raises InputError.

    a: (..., K), its rows at one stride, or (B, T, K) at any; b: (N, K) in the dtype of a; bias: (N,); gate: (B, N);
    residual: (..., N). glu: b is (2 N, K) and bias (2 N,), value rows first or gate rows first, and act(x) is
    value * act(gate).
    """
    y, steps = matmul_launches(
        a, b, bias=bias, activation=activation, glu=glu, scale=scale, gate=gate, residual=residual
    )  # fmt: skip
    run_all(steps)
    return y


def matmul_cost(
    a: Tensor,
    b: Tensor,
    *,
    bias: Tensor | None = None,
    gate: Tensor | None = None,
    residual: Tensor | None = None,
    glu: Glu | None = None,
    **_: object,
) -> Cost:
    M = a.numel() // a.shape[-1]
    written = M * len(b) // (1 if glu is None else 2) * a.element_size()
    return Cost(nbytes(a, b, bias, gate, residual) + written, 2 * M * b.numel())

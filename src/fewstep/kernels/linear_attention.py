"""ReLU linear attention: y_n = S relu(q_n) / (z . relu(q_n) + eps), S = sum_m v_m relu(k_m)^T, z = sum_m relu(k_m).

q, k, v and y are (B, N, H, D), their last axis contiguous, D up to 128. Everything between load and store is fp32; q, k
and v of 16 bits meet the tensor cores as they are, S in tf32. SANA (Xie et al. 2024, arXiv 2410.10629); DC-AE.

Two launches of the same grid: each program first sums its share of the tokens into a state (S, z), then adds all states
of its head in a fixed order, which is bit-reproducible without atomics, and applies them to its share. q, k and v are
read once and y is written once; the states are small and stay in the L2 cache. One launch, without states in memory,
where a head has few tokens or the heads alone fill the GPU.

The 3x3 depthwise convolution of SANA is not fused with this: between the two stand the output projection, a residual, a
norm and a projection to 5 times the width, each over all channels, so that not one byte of traffic would be saved.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.checks import check_device, check_dtype, check_last_contiguous, check_range, check_shape
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, run_all
from fewstep.kernels.tuned import Config, tuned

MAX_D = 128
MAX_GRID = 65535  # programs along a grid's second and third axis
ONE_LAUNCH_N = 256  # tokens that one program sums faster than two launches start
MULTIPROCESSORS = 128  # of the GPUs that the heuristic has in mind


def linear_attention_ref(q: Tensor, k: Tensor, v: Tensor, *, eps: float = 1e-15) -> Tensor:
    """What the kernel must equal: in fp32 as the families compute it, or in fp64, then in the dtype of the inputs."""
    q, k, values = (x.transpose(1, 2) if x.dtype == torch.float64 else x.transpose(1, 2).float() for x in (q, k, v))
    q, k = q.relu(), k.relu()
    values = torch.nn.functional.pad(values, (0, 1), value=1.0)
    y = q @ (k.mT @ values)
    return (y[..., :-1] / (y[..., -1:] + eps)).to(v.dtype).transpose(1, 2)


@triton.jit
def _load(x_ptr, first, last, D, stride_n, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr):
    """[BLOCK_N, BLOCK_D]: the tokens from first on, 0 from last on."""
    n = first + tl.arange(0, BLOCK_N)[:, None]
    d = tl.arange(0, BLOCK_D)[None, :]
    return tl.load(x_ptr + n.to(tl.int64) * stride_n + d, mask=(n < last) & (d < D), other=0.0)


@triton.jit
def _sum(
    k_ptr, v_ptr, first, last, D, stride_kn, stride_vn, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr
):  # fmt: skip
    """S^T: [BLOCK_D of k, BLOCK_D of v] and z: [BLOCK_D] of the tokens from first to last."""
    S = tl.zeros([BLOCK_D, BLOCK_D], tl.float32)
    z = tl.zeros([BLOCK_D], tl.float32)
    for n in tl.range(first, last, BLOCK_N):
        k = _load(k_ptr, n, last, D, stride_kn, BLOCK_N, BLOCK_D)
        v = _load(v_ptr, n, last, D, stride_vn, BLOCK_N, BLOCK_D)
        relu = tl.maximum(k.to(tl.float32), 0.0)
        S = tl.dot(relu.to(k.dtype).T, v, S, input_precision="ieee")
        z += tl.sum(relu, 0)
    return S, z


@triton.jit
def _apply(
    q_ptr, y_ptr, S, z, first, last, D, eps, stride_qn, stride_yn,
    PRECISION: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    for n in tl.range(first, last, BLOCK_N):
        q = tl.maximum(_load(q_ptr, n, last, D, stride_qn, BLOCK_N, BLOCK_D).to(tl.float32), 0.0)
        y = tl.dot(q, S, input_precision=PRECISION) / (tl.sum(q * z[None, :], 1) + eps)[:, None]
        rows = n + tl.arange(0, BLOCK_N)[:, None]
        columns = tl.arange(0, BLOCK_D)[None, :]
        pointers = y_ptr + rows.to(tl.int64) * stride_yn + columns
        tl.store(pointers, y.to(y_ptr.dtype.element_ty), mask=(rows < last) & (columns < D))


@triton.jit
def _linear_attention_kernel(
    q_ptr, k_ptr, v_ptr, y_ptr,
    N, D, eps,
    stride_qb, stride_qn, stride_qh,
    stride_kb, stride_kn, stride_kh,
    stride_vb, stride_vn, stride_vh,
    stride_yb, stride_yn, stride_yh,
    PRECISION: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    h = tl.program_id(0).to(tl.int64)
    b = tl.program_id(1).to(tl.int64)
    k_ptr += b * stride_kb + h * stride_kh
    v_ptr += b * stride_vb + h * stride_vh
    S, z = _sum(k_ptr, v_ptr, 0, N, D, stride_kn, stride_vn, BLOCK_N, BLOCK_D)
    q_ptr += b * stride_qb + h * stride_qh
    y_ptr += b * stride_yb + h * stride_yh
    _apply(q_ptr, y_ptr, S, z, 0, N, D, eps, stride_qn, stride_yn, PRECISION, BLOCK_N, BLOCK_D)


@triton.jit
def _state_kernel(
    k_ptr, v_ptr, state_ptr,
    N, D, SPLIT_N,
    stride_kb, stride_kn, stride_kh,
    stride_vb, stride_vn, stride_vh,
    BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    h = tl.program_id(0).to(tl.int64)
    split = tl.program_id(1)
    b = tl.program_id(2).to(tl.int64)
    first = split * SPLIT_N
    k_ptr += b * stride_kb + h * stride_kh
    v_ptr += b * stride_vb + h * stride_vh
    S, z = _sum(k_ptr, v_ptr, first, tl.minimum(first + SPLIT_N, N), D, stride_kn, stride_vn, BLOCK_N, BLOCK_D)

    program = (b * tl.num_programs(1) + split) * tl.num_programs(0) + h
    state_ptr += program * (BLOCK_D + 1) * BLOCK_D
    d = tl.arange(0, BLOCK_D)
    tl.store(state_ptr + d[:, None] * BLOCK_D + d[None, :], S)
    tl.store(state_ptr + BLOCK_D * BLOCK_D + d, z)


@triton.jit
def _apply_kernel(
    q_ptr, state_ptr, y_ptr,
    N, D, eps, SPLIT_N,
    stride_qb, stride_qn, stride_qh,
    stride_yb, stride_yn, stride_yh,
    PRECISION: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    h = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * SPLIT_N
    b = tl.program_id(2).to(tl.int64)
    d = tl.arange(0, BLOCK_D)
    S = tl.zeros([BLOCK_D, BLOCK_D], tl.float32)
    z = tl.zeros([BLOCK_D], tl.float32)
    for split in tl.range(0, tl.num_programs(1)):
        program = (b * tl.num_programs(1) + split) * tl.num_programs(0) + h
        state = state_ptr + program * (BLOCK_D + 1) * BLOCK_D
        S += tl.load(state + d[:, None] * BLOCK_D + d[None, :])
        z += tl.load(state + BLOCK_D * BLOCK_D + d)
    q_ptr += b * stride_qb + h * stride_qh
    y_ptr += b * stride_yb + h * stride_yh
    last = tl.minimum(first + SPLIT_N, N)
    _apply(q_ptr, y_ptr, S, z, first, last, D, eps, stride_qn, stride_yn, PRECISION, BLOCK_N, BLOCK_D)


def linear_attention_launches(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    eps: float = 1e-15,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated, and the launches that write it. Tensors on meta describe the launches alone, for sm_<arch>.

    config: BLOCK_N tokens at a time; SPLITS of the tokens, 1 for one launch; num_warps, num_stages.
    """
    check_shape("q", q, (None, None, None, None))
    B, N, H, D = q.shape
    check_range("D", D, 1, MAX_D)
    check_range("B", B, 1, MAX_GRID)
    check_dtype("q", q)
    for name, x in (("q", q), ("k", k), ("v", v)):
        check_shape(name, x, (B, N, H, D))
        check_dtype(name, x, (q.dtype,))
        check_last_contiguous(name, x)
    if not eps >= 0:
        raise InputError(f"eps: expected a number of at least 0, got {eps}")
    check_device(q=q, k=k, v=v)

    y = torch.empty((B, N, H, D), dtype=q.dtype, device=q.device)
    chosen = dict(config or tuned("linear_attention", f"{B}x{N}x{H}x{D} {q.dtype}", arch or architecture(q)) or {})
    chosen = chosen or _heuristic(B, N, H, D, q.dtype)
    splits = chosen.pop("SPLITS")
    block_d = max(16, triton.next_power_of_2(D))
    exact = {"PRECISION": "ieee" if q.dtype == torch.float32 else "tf32", "BLOCK_D": block_d}
    if splits == 1:
        args = {"q_ptr": q, "k_ptr": k, "v_ptr": v, "y_ptr": y, "N": N, "D": D, "eps": eps} | _strides(
            q=q, k=k, v=v, y=y
        )
        return y, [Launch(_linear_attention_kernel, (H, B, 1), args, exact | chosen)]
    state = torch.empty((B, splits, H, block_d + 1, block_d), dtype=torch.float32, device=q.device)
    share = {"SPLIT_N": triton.cdiv(N, splits)}
    summed = {"k_ptr": k, "v_ptr": v, "state_ptr": state, "N": N, "D": D} | share | _strides(k=k, v=v)
    applied = {"q_ptr": q, "state_ptr": state, "y_ptr": y, "N": N, "D": D, "eps": eps} | share | _strides(q=q, y=y)
    grid = (H, splits, B)
    return y, [
        Launch(_state_kernel, grid, summed, {"BLOCK_D": block_d} | chosen),
        Launch(_apply_kernel, grid, applied, exact | chosen),
    ]


def _strides(**tensors: Tensor) -> dict[str, int]:
    return {f"stride_{name}{axis}": x.stride(i) for name, x in tensors.items() for i, axis in enumerate("bnh")}


def _heuristic(B: int, N: int, H: int, D: int, dtype: torch.dtype) -> Config:
    splits = 1 if N <= ONE_LAUNCH_N else min(triton.cdiv(MULTIPROCESSORS, B * H), triton.cdiv(N, ONE_LAUNCH_N))
    if dtype == torch.float32:
        return {"BLOCK_N": 32, "SPLITS": splits, "num_warps": 8, "num_stages": 1}
    return {"BLOCK_N": 128 if D <= 64 else 64, "SPLITS": splits, "num_warps": 4, "num_stages": 3 if D <= 64 else 2}


def linear_attention(q: Tensor, k: Tensor, v: Tensor, *, eps: float = 1e-15) -> Tensor:
    """Returns relu(q) (relu(k)^T v) / (relu(q) sum relu(k) + eps): (B, N, H, D), as are q, k, v. Raises InputError."""
    y, launches = linear_attention_launches(q, k, v, eps=eps)
    run_all(launches)
    return y


def linear_attention_cost(q: Tensor, k: Tensor, v: Tensor, **_: object) -> Cost:
    return Cost(nbytes(q, k, v, q), 4 * q.numel() * q.shape[-1])

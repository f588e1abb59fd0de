"""Attention over few keys, such as a prompt's 77 or an 8x8 latent's 64: all of them are one tile.

No loop and no correction of the softmax: one program reads its queries, every key and value, and writes its outputs.
"""

import triton
import triton.language as tl

from fewstep.kernels.attention_problem import FP8, Problem, load_tile, split_head, store_tile
from fewstep.kernels.checks import check_range
from fewstep.kernels.launch import Launch
from fewstep.kernels.tuned import Config

SMALL_M = 128
SMALL_D = 128
MULTIPROCESSORS = 128  # of the GPUs that the heuristic has in mind


@triton.jit
def _small_attention_kernel(
    q_ptr, k_ptr, v_ptr, y_ptr, lengths_ptr,
    N, M, scale, y_scale,
    stride_qb, stride_qh, stride_qn,
    stride_kb, stride_kg, stride_km,
    stride_vb, stride_vg, stride_vm, stride_vd,
    stride_yb, stride_yh, stride_yn,
    GROUP: tl.constexpr, D: tl.constexpr, HAS_LENGTHS: tl.constexpr, UNIT: tl.constexpr, IS_FP8: tl.constexpr,
    MASKED: tl.constexpr,  # fewer than BLOCK_M keys may count
    BLOCK_D: tl.constexpr, TAIL_D: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64) * BLOCK_N
    h = tl.program_id(1).to(tl.int64)
    b = tl.program_id(2).to(tl.int64)
    g = h // GROUP
    q_ptr += (b * stride_qb + h * stride_qh + n * stride_qn) * UNIT
    k_ptr += (b * stride_kb + g * stride_kg) * UNIT
    v_ptr += (b * stride_vb + g * stride_vg) * UNIT
    y_ptr += (b * stride_yb + h * stride_yh + n * stride_yn) * UNIT
    stride_km *= UNIT
    stride_vm *= UNIT

    keys = M
    if HAS_LENGTHS:
        keys = tl.minimum(tl.maximum(tl.load(lengths_ptr + b), 0), M)
    q = load_tile(q_ptr, N - n, D, stride_qn * UNIT, 1, BLOCK_N, BLOCK_D, True, D < BLOCK_D)
    k = load_tile(k_ptr, keys, D, stride_km, 1, BLOCK_M, BLOCK_D, MASKED, D < BLOCK_D)
    v = load_tile(v_ptr, keys, D, stride_vm, stride_vd, BLOCK_M, BLOCK_D, MASKED, D < BLOCK_D)
    s = tl.dot(q, k.T, input_precision="ieee")  # [BLOCK_N, BLOCK_M]
    if TAIL_D:
        rest = D - BLOCK_D
        q_tail = load_tile(q_ptr + BLOCK_D, N - n, rest, stride_qn * UNIT, 1, BLOCK_N, TAIL_D, True, True)
        k_tail = load_tile(k_ptr + BLOCK_D, keys, rest, stride_km, 1, BLOCK_M, TAIL_D, MASKED, True)
        v_tail = load_tile(v_ptr + BLOCK_D * stride_vd, keys, rest, stride_vm, stride_vd, BLOCK_M, TAIL_D, MASKED, True)
        s = tl.dot(q_tail, k_tail.T, s, input_precision="ieee")
    if MASKED:
        s = tl.where(tl.arange(0, BLOCK_M)[None, :] < keys, s, float("-inf"))
    top = tl.max(s, 1)
    if HAS_LENGTHS:
        top = tl.where(keys > 0, top, 0.0)
    p = tl.exp2(s * scale - (top * scale - 8.0 * IS_FP8)[:, None])
    total = tl.sum(p, 1)
    p = p.to(q.dtype)

    factor = (y_scale / tl.where(total > 0, total, 1.0))[:, None]  # no key: 0, not NaN
    y = tl.dot(p, v, input_precision="ieee") * factor
    store_tile(y_ptr, N - n, D, stride_yn * UNIT, y, BLOCK_N, BLOCK_D)
    if TAIL_D:
        y_tail = tl.dot(p, v_tail, input_precision="ieee") * factor
        store_tile(y_ptr + BLOCK_D, N - n, D - BLOCK_D, stride_yn * UNIT, y_tail, BLOCK_N, TAIL_D)


def small_launch(problem: Problem, config: Config | None = None) -> Launch:
    """config: BLOCK_N queries of a program, num_warps."""
    B, H, _, N, M, D = problem.sizes
    check_range("M", M, 1, SMALL_M)
    BLOCK_M = max(32 if problem.q.dtype == FP8 else 16, triton.next_power_of_2(M))
    BLOCK_D, TAIL_D = split_head(D, problem.q.dtype)
    constants = problem.constants | {
        "MASKED": M < BLOCK_M or problem.lengths is not None,
        "BLOCK_D": BLOCK_D,
        "TAIL_D": TAIL_D,
        "BLOCK_M": BLOCK_M,
    }
    chosen = config or _heuristic(problem)
    return Launch(_small_attention_kernel, (triton.cdiv(N, chosen["BLOCK_N"]), H, B), problem.args, constants | chosen)


def _heuristic(problem: Problem) -> Config:
    B, H, _, N, _, D = problem.sizes
    BLOCK_N = 128 if D <= 64 else 64
    while BLOCK_N > 32 and triton.cdiv(N, BLOCK_N) * H * B < MULTIPROCESSORS:
        BLOCK_N //= 2
    return {"BLOCK_N": BLOCK_N, "num_warps": max(4, BLOCK_N // 16)}

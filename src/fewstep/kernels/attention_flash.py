"""Attention over any number of keys: tiles of keys pass by, the softmax is corrected as its maximum grows.

Of a row of logits s = q k^T only the maximum m, the sum l of exp(s - m) and their product with v are kept (Milakov &
Gimelshein 2018, arXiv 1805.02867; Dao 2023, arXiv 2307.08691). exp(scale (s - m)) is exp2 of one multiply-add, which
costs nothing and, unlike a pre-scaled q, rounds nothing. Keys that fill their tile take a loop without masks.
In fp8 exp is kept 2**8 times larger, since e4m3 has few numbers below 1 (Shah et al. 2024, arXiv 2407.08608), and what
sm_90 sums in 14 bits, the products within a tile, is added up in fp32.

A mask is added to the scaled logits, in base 2; what is finite there stays so, since a row of nothing but the least
number is not one of no keys. Causal order ends the keys with the last query of the program.
"""

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from fewstep.kernels.attention_problem import Problem, load_tile, split_head, store_tile
from fewstep.kernels.launch import Launch
from fewstep.kernels.tuned import Config

LARGE_SHARED_MEMORY = (90, 100)  # architectures with 227 KiB, where others have 99 or 163
MULTIPROCESSORS = 128  # of the GPUs that the heuristic has in mind
LOG2_E = tl.constexpr(1.4426950408889634)
LEAST = tl.constexpr(-2.3e38)  # of a mask; times LOG2_E it is still finite


@triton.jit
def _attention_kernel(
    q_ptr, k_ptr, v_ptr, y_ptr, lengths_ptr, mask_ptr,
    N, M, scale, y_scale,
    stride_qb, stride_qh, stride_qn,
    stride_kb, stride_kg, stride_km,
    stride_vb, stride_vg, stride_vm, stride_vd,
    stride_yb, stride_yh, stride_yn,
    stride_mb, stride_mh, stride_mn, stride_mm,
    GROUP: tl.constexpr, D: tl.constexpr, HAS_LENGTHS: tl.constexpr, UNIT: tl.constexpr, IS_FP8: tl.constexpr,
    HAS_MASK: tl.constexpr, IS_CAUSAL: tl.constexpr,
    IS_TMA: tl.constexpr,  # k_ptr and v_ptr are tensor descriptors
    HAS_TAIL: tl.constexpr,  # keys may end within a tile
    BLOCK_D: tl.constexpr, TAIL_D: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64) * BLOCK_N
    h = tl.program_id(1)
    b = tl.program_id(2)
    g = h // GROUP
    if not IS_TMA:
        k_ptr += (b.to(tl.int64) * stride_kb + g.to(tl.int64) * stride_kg) * UNIT
        v_ptr += (b.to(tl.int64) * stride_vb + g.to(tl.int64) * stride_vg) * UNIT
    q_ptr += (b.to(tl.int64) * stride_qb + h.to(tl.int64) * stride_qh + n * stride_qn) * UNIT
    y_ptr += (b.to(tl.int64) * stride_yb + h.to(tl.int64) * stride_yh + n * stride_yn) * UNIT

    keys = M
    if HAS_LENGTHS:
        keys = tl.minimum(tl.maximum(tl.load(lengths_ptr + b), 0), M)
    filled = keys // BLOCK_M * BLOCK_M
    if IS_CAUSAL:
        filled = tl.minimum(keys, tl.cast(n, tl.int32)) // BLOCK_M * BLOCK_M
        keys = tl.minimum(keys, tl.cast(n, tl.int32) + BLOCK_N)
    if HAS_MASK:
        mask_ptr += b.to(tl.int64) * stride_mb + h.to(tl.int64) * stride_mh + n * stride_mn

    q = load_tile(q_ptr, N - n, D, stride_qn * UNIT, 1, BLOCK_N, BLOCK_D, True, D < BLOCK_D)
    acc = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    if TAIL_D:
        q_tail = load_tile(q_ptr + BLOCK_D, N - n, D - BLOCK_D, stride_qn * UNIT, 1, BLOCK_N, TAIL_D, True, True)
        acc_tail = tl.zeros([BLOCK_N, TAIL_D], tl.float32)
    top = tl.full([BLOCK_N], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_N], tl.float32)

    for MASKED in tl.static_range(1 + HAS_TAIL):
        for m in tl.range(filled if MASKED else 0, keys if MASKED else filled, BLOCK_M):
            left = keys - m
            if IS_TMA:
                k = k_ptr.load([b, g, m, 0]).reshape(BLOCK_M, BLOCK_D)
            else:
                k_row = k_ptr + tl.cast(m, tl.int64) * stride_km * UNIT
                k = load_tile(k_row, left, D, stride_km * UNIT, 1, BLOCK_M, BLOCK_D, MASKED, D < BLOCK_D)
            s = tl.dot(q, k.T, input_precision="ieee")  # [BLOCK_N, BLOCK_M]
            if TAIL_D:
                k_tail = load_tile(
                    k_row + BLOCK_D, left, D - BLOCK_D, stride_km * UNIT, 1,
                    BLOCK_M, TAIL_D, MASKED, D < BLOCK_D + TAIL_D,
                )  # fmt: skip
                s = tl.dot(q_tail, k_tail.T, s, input_precision="ieee")
            if MASKED:
                s = tl.where(tl.arange(0, BLOCK_M)[None, :] < left, s, float("-inf"))
            if MASKED and IS_CAUSAL:
                last = tl.cast(n, tl.int32) - m + tl.arange(0, BLOCK_N)[:, None]
                s = tl.where(tl.arange(0, BLOCK_M)[None, :] <= last, s, float("-inf"))
            if HAS_MASK:
                tile = mask_ptr + tl.cast(m, tl.int64) * stride_mm
                bias = load_tile(tile, N - n, left, stride_mn, stride_mm, BLOCK_N, BLOCK_M, True, MASKED)
                bias = bias.to(tl.float32)
                bias = tl.where((bias < LEAST) & (bias != float("-inf")), LEAST, bias)
                s = s * scale + bias * LOG2_E

            higher = tl.maximum(top, tl.max(s, 1))
            if HAS_MASK:
                base = tl.where(higher == float("-inf"), 0.0, higher)  # no key so far
                p = tl.exp2(s - base[:, None])
                shrink = tl.exp2(top - base)
            else:
                p = tl.exp2(s * scale - (higher * scale - 8.0 * IS_FP8)[:, None])
                shrink = tl.exp2((top - higher) * scale)
            total = total * shrink + tl.sum(p, 1)
            top = higher
            p = p.to(q.dtype)

            if IS_TMA:
                v = v_ptr.load([b, g, m, 0]).reshape(BLOCK_M, BLOCK_D)
                if HAS_LENGTHS and MASKED:
                    v = tl.where(tl.arange(0, BLOCK_M)[:, None] < left, v, 0.0)
            else:
                v_row = v_ptr + tl.cast(m, tl.int64) * stride_vm * UNIT
                v = load_tile(v_row, left, D, stride_vm * UNIT, stride_vd, BLOCK_M, BLOCK_D, MASKED, D < BLOCK_D)
            acc = tl.dot(
                p, v, acc * shrink[:, None], input_precision="ieee", max_num_imprecise_acc=BLOCK_M if IS_FP8 else None
            )
            if TAIL_D:
                v_tail = load_tile(
                    v_row + BLOCK_D * stride_vd, left, D - BLOCK_D, stride_vm * UNIT, stride_vd,
                    BLOCK_M, TAIL_D, MASKED, D < BLOCK_D + TAIL_D,
                )  # fmt: skip
                acc_tail = tl.dot(
                    p,
                    v_tail,
                    acc_tail * shrink[:, None],
                    input_precision="ieee",
                    max_num_imprecise_acc=BLOCK_M if IS_FP8 else None,
                )

    factor = (y_scale / tl.where(total > 0, total, 1.0))[:, None]  # no key: 0, not NaN
    store_tile(y_ptr, N - n, D, stride_yn * UNIT, acc * factor, BLOCK_N, BLOCK_D)
    if TAIL_D:
        store_tile(y_ptr + BLOCK_D, N - n, D - BLOCK_D, stride_yn * UNIT, acc_tail * factor, BLOCK_N, TAIL_D)


def flash_launch(problem: Problem, config: Config | None = None) -> Launch:
    """config: BLOCK_N queries against BLOCK_M keys, IS_TMA, num_warps, num_stages."""
    B, H, _, N, M, D = problem.sizes
    BLOCK_D, TAIL_D = split_head(D, problem.q.dtype)
    chosen = config or _heuristic(problem, BLOCK_D + TAIL_D)
    is_plain = problem.mask is None and not problem.is_causal
    is_tma = chosen.get("IS_TMA", False) and TAIL_D == 0 and is_plain
    is_tma = is_tma and all(map(_has_tma_strides, (problem.k, problem.v)))
    args = problem.args | problem.mask_args
    if is_tma:
        block = [1, 1, chosen["BLOCK_M"], BLOCK_D]
        for name, x in (("k_ptr", problem.k), ("v_ptr", problem.v)):
            args[name] = TensorDescriptor(x, list(x.shape), list(x.stride()), block)
    has_tail = problem.lengths is not None or problem.is_causal or M % chosen["BLOCK_M"] != 0
    constants = problem.constants | {
        "HAS_MASK": problem.mask is not None,
        "IS_CAUSAL": problem.is_causal,
        "HAS_TAIL": has_tail,
        "BLOCK_D": BLOCK_D,
        "TAIL_D": TAIL_D,
    }
    grid = (triton.cdiv(N, chosen["BLOCK_N"]), H, B)
    return Launch(_attention_kernel, grid, args, constants | chosen | {"IS_TMA": is_tma})


def _has_tma_strides(x: torch.Tensor) -> bool:
    """Whether the copy engine can read x: rows at 16 bytes, no broadcast axis, a contiguous last axis."""
    aligned = all(stride > 0 and stride * x.element_size() % 16 == 0 for stride in x.stride()[:-1])
    return aligned and x.stride(-1) == 1 and x.data_ptr() % 16 == 0


def _heuristic(problem: Problem, width: int) -> Config:
    """On large shared memory a head of up to 64 takes tiles so small that two programs share a multiprocessor: the
    softmax of one runs beside the products of the other."""
    if problem.q.dtype == torch.float32:
        return {"BLOCK_N": 32, "BLOCK_M": 32, "num_warps": 4, "num_stages": 1}
    B, H, _, N, M, D = problem.sizes
    is_large = problem.arch in LARGE_SHARED_MEMORY
    BLOCK_N = 128 if triton.cdiv(N, 128) * H * B >= MULTIPROCESSORS else 64
    BLOCK_M, warps = 64, BLOCK_N // 16
    if width > 256:
        BLOCK_N, BLOCK_M, warps = 64, 32, 8
    elif width > 128:
        BLOCK_M, warps = 64 if is_large else 32, 8
    elif width > 64 and is_large and BLOCK_N == 128 and M >= 1024:
        BLOCK_M = 128
    elif width > 64 and not is_large and D % 64:
        BLOCK_M = 32  # masks of rows and columns take registers too, and 64 keys would spill
    stages = 3 if width <= 64 else 2
    is_tma = problem.arch >= 90
    return {"BLOCK_N": BLOCK_N, "BLOCK_M": BLOCK_M, "IS_TMA": is_tma, "num_warps": warps, "num_stages": stages}

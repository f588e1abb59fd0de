"""Attention of wide heads, such as the one head of 512 channels in a VAE, where a GPU cannot hold a whole row of q.

A program owns BLOCK_D columns of the output (a slab). q and k pass by in chunks of CHUNK_D columns, so that neither
shared memory nor registers grow with D; the logits are computed once for each slab: for D = 512 and two slabs
half as many operations again. GPUs with 227 KiB of shared memory take attention_flash instead.
"""

import torch
import triton
import triton.language as tl

from fewstep.kernels.attention_problem import Problem, load_tile, store_tile
from fewstep.kernels.launch import Launch
from fewstep.kernels.tuned import Config


@triton.jit
def _wide_attention_kernel(
    q_ptr, k_ptr, v_ptr, y_ptr, lengths_ptr,
    N, M, scale, y_scale,
    stride_qb, stride_qh, stride_qn,
    stride_kb, stride_kg, stride_km,
    stride_vb, stride_vg, stride_vm, stride_vd,
    stride_yb, stride_yh, stride_yn,
    GROUP: tl.constexpr, D: tl.constexpr, HAS_LENGTHS: tl.constexpr, UNIT: tl.constexpr, IS_FP8: tl.constexpr,
    HAS_TAIL: tl.constexpr,  # keys may end within a tile
    BLOCK_D: tl.constexpr, CHUNK_D: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    SLABS: tl.constexpr = (D + BLOCK_D - 1) // BLOCK_D  # neighbours, which share q and k in the cache
    slab = tl.program_id(0) % SLABS * BLOCK_D
    n = (tl.program_id(0) // SLABS).to(tl.int64) * BLOCK_N
    h = tl.program_id(1).to(tl.int64)
    b = tl.program_id(2).to(tl.int64)
    g = h // GROUP
    q_ptr += (b * stride_qb + h * stride_qh + n * stride_qn) * UNIT
    k_ptr += (b * stride_kb + g * stride_kg) * UNIT
    v_ptr += (b * stride_vb + g * stride_vg) * UNIT + slab.to(tl.int64) * stride_vd
    y_ptr += (b * stride_yb + h * stride_yh + n * stride_yn) * UNIT + slab

    keys = M
    if HAS_LENGTHS:
        keys = tl.minimum(tl.maximum(tl.load(lengths_ptr + b), 0), M)
    filled = keys // BLOCK_M * BLOCK_M
    acc = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    top = tl.full([BLOCK_N], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_N], tl.float32)

    for MASKED in tl.static_range(1 + HAS_TAIL):
        for m in tl.range(filled if MASKED else 0, keys if MASKED else filled, BLOCK_M):
            left = keys - m
            k_row = k_ptr + tl.cast(m, tl.int64) * stride_km * UNIT
            v_row = v_ptr + tl.cast(m, tl.int64) * stride_vm * UNIT
            s = tl.zeros([BLOCK_N, BLOCK_M], tl.float32)
            for d in tl.range(0, D, CHUNK_D):
                q = load_tile(q_ptr + d, N - n, D - d, stride_qn * UNIT, 1, BLOCK_N, CHUNK_D, True, D % CHUNK_D != 0)
                k = load_tile(k_row + d, left, D - d, stride_km * UNIT, 1, BLOCK_M, CHUNK_D, MASKED, D % CHUNK_D != 0)
                s = tl.dot(q, k.T, s, input_precision="ieee")
            if MASKED:
                s = tl.where(tl.arange(0, BLOCK_M)[None, :] < left, s, float("-inf"))

            higher = tl.maximum(top, tl.max(s, 1))
            p = tl.exp2(s * scale - (higher * scale - 8.0 * IS_FP8)[:, None])
            shrink = tl.exp2((top - higher) * scale)
            total = total * shrink + tl.sum(p, 1)
            top = higher
            v = load_tile(
                v_row, left, D - slab, stride_vm * UNIT, stride_vd, BLOCK_M, BLOCK_D, MASKED, D % BLOCK_D != 0
            )
            acc = tl.dot(p.to(v.dtype), v, acc * shrink[:, None], input_precision="ieee")

    factor = (y_scale / tl.where(total > 0, total, 1.0))[:, None]  # no key: 0, not NaN
    store_tile(y_ptr, N - n, D - slab, stride_yn * UNIT, acc * factor, BLOCK_N, BLOCK_D)


def wide_launch(problem: Problem, config: Config | None = None) -> Launch:
    """config: BLOCK_N queries and BLOCK_D columns of a program, against BLOCK_M keys by CHUNK_D columns; num_warps."""
    B, H, _, N, M, D = problem.sizes
    chosen = config or _heuristic(problem)
    has_tail = problem.lengths is not None or M % chosen["BLOCK_M"] != 0
    grid = (triton.cdiv(N, chosen["BLOCK_N"]) * triton.cdiv(D, chosen["BLOCK_D"]), H, B)
    return Launch(_wide_attention_kernel, grid, problem.args, problem.constants | {"HAS_TAIL": has_tail} | chosen)


def _heuristic(problem: Problem) -> Config:
    if problem.q.dtype == torch.float32:
        return {"BLOCK_N": 32, "BLOCK_D": 64, "BLOCK_M": 32, "CHUNK_D": 32, "num_warps": 4, "num_stages": 2}
    return {"BLOCK_N": 64, "BLOCK_D": 256, "BLOCK_M": 64, "CHUNK_D": 64, "num_warps": 8, "num_stages": 2}

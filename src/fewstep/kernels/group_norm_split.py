"""GroupNorm of groups that no program can hold, in two launches: moments of chunks of the pixels, then their use.

Each place in a program's tile takes Welford's mean and squared deviation (Welford 1962) over the tiles that the program
reads; places, then chunks, are combined as Chan, Golub and LeVeque do (1979), all relative to one element of the group.
So nothing is lost where the mean is large beside the deviation, and the order of every sum is fixed. The second launch
goes through the tiles backwards: it begins with those that the first has just brought into the L2 cache.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.group_norm_problem import Problem, chosen_for
from fewstep.kernels.group_norm_slab import (
    activate,
    channel_affine,
    load_sum,
    membership,
    pivots,
    slab_channels,
    slab_groups,
    to_channels,
    to_groups,
)
from fewstep.kernels.launch import Launch, present
from fewstep.kernels.pixels import image_strides, pixel_offsets
from fewstep.kernels.tuned import Config


@triton.jit
def moments_kernel(
    x_ptr, residual_ptr, sum_ptr, mean_ptr, spread_ptr,
    C, G, P, W, eps,
    stride_xb, stride_xc, stride_xh, stride_xw,
    stride_rb, stride_rc, stride_rh, stride_rw,
    CG: tl.constexpr, SLAB_G: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_G: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """mean, spread: (B, K, G) of the K chunks: the mean less the pivot, the sum of squared deviations. With eps, of the
    one chunk, the mean and 1 / deviation."""
    chunk, K = tl.program_id(0), tl.num_programs(0)
    slab = tl.program_id(1)
    b = tl.program_id(2).to(tl.int64)
    c, c_mask = slab_channels(slab, C, CG, SLAB_G, BLOCK_C)
    x_ptr += b * stride_xb
    if residual_ptr is not None:
        residual_ptr += b * stride_rb
    pivot = pivots(x_ptr, residual_ptr, c, c_mask, stride_xc, stride_rc, CG)

    mean = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    spread = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    seen = tl.zeros([BLOCK_P], tl.float32)  # pixels, at each row of the tile
    tiles = 0.0
    for t in tl.range(chunk, tl.cdiv(P, BLOCK_P), K, num_stages=STAGES):
        p = t * BLOCK_P + tl.arange(0, BLOCK_P)
        mask = (p < P)[:, None] & c_mask[None, :]
        x_ptrs = x_ptr + pixel_offsets(p, W, stride_xh, stride_xw)[:, None] + c[None, :] * stride_xc
        r_ptrs = None
        if residual_ptr is not None:
            r_ptrs = residual_ptr + pixel_offsets(p, W, stride_rh, stride_rw)[:, None] + c[None, :] * stride_rc
        x = load_sum(x_ptrs, r_ptrs, mask)  # [BLOCK_P, BLOCK_C]
        if sum_ptr is not None:
            sum_ptrs = sum_ptr + b * P * C + pixel_offsets(p, W, None, C)[:, None] + c[None, :]
            tl.store(sum_ptrs, x.to(sum_ptr.dtype.element_ty), mask=mask)
        tiles += 1
        seen += tl.where(p < P, 1.0, 0.0)
        x -= pivot[None, :]
        deviation = tl.where(mask, x - mean, 0.0)
        mean += deviation * (1 / tiles)
        spread += deviation * (x - mean)

    member = membership(CG, BLOCK_C, BLOCK_G)
    n = tl.sum(seen) * CG
    group_mean = to_groups(tl.sum(mean * seen[:, None], axis=0), member) / n
    deviation = mean - to_channels(group_mean, member)[None, :]
    group_spread = to_groups(tl.sum(spread + deviation * deviation * seen[:, None], axis=0), member)
    g, g_mask = slab_groups(slab, G, SLAB_G, BLOCK_G)
    if eps is not None:
        group_mean += pivots(x_ptr, residual_ptr, g * CG, g_mask, stride_xc, stride_rc, CG)
        group_spread = tl.rsqrt(group_spread / n + eps)
    at = (b * K + chunk) * G + g
    tl.store(mean_ptr + at, group_mean, mask=g_mask)
    tl.store(spread_ptr + at, group_spread, mask=g_mask)


@triton.jit
def combined(
    mean_ptr, spread_ptr, b, g, g_mask, G, P, K, eps, CG: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_K: tl.constexpr
):
    """Of groups g: the mean less the pivot, and 1 / deviation. Chunk k is tiles k, k + K, ... of BLOCK_P pixels."""
    k = tl.arange(0, BLOCK_K)
    mask = (k < K)[:, None] & g_mask[None, :]
    at = (b * K + k)[:, None] * G + g[None, :]
    means = tl.load(mean_ptr + at, mask=mask, other=0.0)  # [BLOCK_K, BLOCK_G]
    spreads = tl.load(spread_ptr + at, mask=mask, other=0.0)

    T = tl.cdiv(P, BLOCK_P)
    pixels = tl.cdiv(T - k, K) * BLOCK_P - tl.where(k == (T - 1) % K, T * BLOCK_P - P, 0)
    n = tl.where(k < K, pixels, 0).to(tl.float32) * CG
    mean = tl.sum(means * n[:, None], axis=0) / tl.sum(n)
    deviation = means - mean[None, :]
    variance = tl.sum(spreads + deviation * deviation * n[:, None], axis=0) / tl.sum(n)
    return mean, tl.rsqrt(variance + eps)


@triton.jit
def statistics_kernel(
    x_ptr, mean_ptr, spread_ptr, group_mean_ptr, rstd_ptr,
    G, P, K, eps,
    stride_xb, stride_xc,
    CG: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_G: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(1).to(tl.int64)
    g = tl.program_id(0).to(tl.int64) * BLOCK_G + tl.arange(0, BLOCK_G)
    mean, rstd = combined(mean_ptr, spread_ptr, b, g, g < G, G, P, K, eps, CG, BLOCK_P, BLOCK_K)
    mean += pivots(x_ptr + b * stride_xb, None, g * CG, g < G, stride_xc, None, CG)
    tl.store(group_mean_ptr + b * G + g, mean, mask=g < G)
    tl.store(rstd_ptr + b * G + g, rstd, mask=g < G)


@triton.jit
def apply_kernel(
    x_ptr, mean_ptr, spread_ptr, weight_ptr, bias_ptr, scale_ptr, shift_ptr, y_ptr,
    C, G, P, W, K, eps,
    stride_xb, stride_xc, stride_xh, stride_xw,
    stride_scale_b, stride_shift_b,
    SILU: tl.constexpr, CG: tl.constexpr, SLAB_G: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_G: tl.constexpr, BLOCK_K: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    slab = tl.program_id(1)
    b = tl.program_id(2).to(tl.int64)
    c, c_mask = slab_channels(slab, C, CG, SLAB_G, BLOCK_C)
    g, g_mask = slab_groups(slab, G, SLAB_G, BLOCK_G)
    member = membership(CG, BLOCK_C, BLOCK_G)
    group_mean, group_rstd = combined(mean_ptr, spread_ptr, b, g, g_mask, G, P, K, eps, CG, BLOCK_P, BLOCK_K)
    factor, summand = channel_affine(
        to_channels(group_rstd, member),
        weight_ptr, bias_ptr, scale_ptr, shift_ptr, b, c, c_mask, stride_scale_b, stride_shift_b,
    )  # fmt: skip

    x_ptr += b * stride_xb
    pivot = pivots(x_ptr, None, c, c_mask, stride_xc, None, CG)
    mean = to_channels(group_mean, member)
    y_ptr += b * P * C
    T = tl.cdiv(P, BLOCK_P)
    for t in tl.range(tl.program_id(0), T, tl.num_programs(0), num_stages=STAGES):
        p = (T - 1 - t) * BLOCK_P + tl.arange(0, BLOCK_P)
        mask = (p < P)[:, None] & c_mask[None, :]
        x_ptrs = x_ptr + pixel_offsets(p, W, stride_xh, stride_xw)[:, None] + c[None, :] * stride_xc
        x = tl.load(x_ptrs, mask=mask, other=0.0).to(tl.float32)
        y = activate((x - pivot[None, :] - mean[None, :]) * factor[None, :] + summand[None, :], SILU)
        y_ptrs = y_ptr + pixel_offsets(p, W, None, C)[:, None] + c[None, :]
        tl.store(y_ptrs, y.to(y_ptr.dtype.element_ty), mask=mask)


def moments_launch(problem: Problem, x_sum: Tensor | None, config: Config) -> tuple[Launch, tuple[Tensor, Tensor]]:
    """Writes the chunks' mean and spread (B, K, G), returned, and x_sum = x + residual if there is one."""
    return _moments(problem, x_sum, config, {"eps": None})


def statistics_launches(problem: Problem, config: Config) -> tuple[tuple[Tensor, Tensor], list[Launch]]:
    """mean and 1 / deviation (B, 1, G): of one chunk at once, of several with a second launch."""
    if config["CHUNKS"] == 1:
        launch, moments = _moments(problem, None, config, {})
        return moments, [launch]
    first, (mean, spread) = moments_launch(problem, None, config)
    B, K, G = mean.shape
    statistics = (mean.new_empty(B, 1, G), mean.new_empty(B, 1, G))
    args = {
        "x_ptr": problem.x, "mean_ptr": mean, "spread_ptr": spread,
        "group_mean_ptr": statistics[0], "rstd_ptr": statistics[1],
        "G": G, "P": problem.sizes[2], "K": K, "eps": problem.eps,
        "stride_xb": problem.x.stride(0), "stride_xc": problem.x.stride(1),
    }  # fmt: skip
    constants = chosen_for(config) | {"BLOCK_K": triton.next_power_of_2(K)}
    grid = (triton.cdiv(G, constants["BLOCK_G"]), B, 1)
    return statistics, [first, Launch(statistics_kernel, grid, args, constants)]


def apply_launch(
    problem: Problem,
    operands: dict[str, Any],
    x_sum: Tensor | None,
    moments: tuple[Tensor, Tensor],
    y: Tensor,
    silu: bool,
    config: Config,
) -> Launch:
    """operands: weight, bias, scale and shift by the kernel's names, with their strides."""
    x = problem.x if x_sum is None else x_sum
    B, K, _ = moments[0].shape
    args, absent = present({
        "x_ptr": x, "mean_ptr": moments[0], "spread_ptr": moments[1], "y_ptr": y, "K": K,
        **operands, **problem.args, **image_strides("x", x),
    })  # fmt: skip
    grid = (config["PROGRAMS"], triton.cdiv(problem.groups, config["SLAB_G"]), B)
    constants = absent | {"SILU": silu, "BLOCK_K": triton.next_power_of_2(K)}
    return Launch(apply_kernel, grid, args, constants | chosen_for(config, "SLAB_G", "BLOCK_C", "STAGES"))


def _moments(
    problem: Problem, x_sum: Tensor | None, config: Config, override: dict[str, None]
) -> tuple[Launch, tuple[Tensor, Tensor]]:
    B, K, G = len(problem.x), config["CHUNKS"], problem.groups
    mean, spread = (problem.x.new_empty((B, K, G), dtype=torch.float32) for _ in range(2))
    args, absent = present({
        "x_ptr": problem.x, "residual_ptr": problem.residual, "sum_ptr": x_sum, "mean_ptr": mean, "spread_ptr": spread,
        **problem.args, **image_strides("r", problem.residual), **override,
    })  # fmt: skip
    grid = (K, triton.cdiv(G, config["SLAB_G"]), B)
    constants = absent | chosen_for(config, "SLAB_G", "BLOCK_C", "STAGES")
    return Launch(moments_kernel, grid, args, constants), (mean, spread)

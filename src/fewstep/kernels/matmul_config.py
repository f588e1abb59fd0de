"""Tiles of matrix products, chosen by an estimate where nothing was measured."""

import math
from itertools import product

import torch
from torch import Tensor

from fewstep.kernels.tuned import Config

SHARED = {80: 163, 90: 227, 100: 227}  # KiB that a program may have; 99 elsewhere
MULTIPROCESSORS = {80: 108, 86: 84, 89: 128, 90: 132, 100: 148, 120: 170}  # A100, RTX 3090 Ti, 4090, H200, B200, 5090
CLOCKS_PER_TILE = 1500  # to fill the pipeline and to write the tile
CLOCKS_PER_LAUNCH = 4000


def estimate(M: int, N: int, K: int, sms: int, BLOCK_M: int, BLOCK_N: int, PARTS: int) -> float:
    """Clocks of a 16-bit product by waves of tiles, at 2048 multiply-adds or 40 bytes a clock; parts in one wave."""
    tiles = -(-M // BLOCK_M) * -(-N // BLOCK_N) * PARTS
    waves = -(-tiles // sms) if PARTS == 1 or tiles <= sms else math.inf
    per_k = max(BLOCK_M * BLOCK_N / 2048, (BLOCK_M + BLOCK_N) * 2 / 40)
    clocks = waves * (-(-K // PARTS) * per_k + CLOCKS_PER_TILE)
    return clocks + (PARTS > 1) * (CLOCKS_PER_LAUNCH + M * N * PARTS * 8 / 2600)


def multiprocessors(x: Tensor, arch: int) -> int:
    """Of x's device; where there is none, of the GPU of MULTIPROCESSORS."""
    if x.is_cuda:
        return int(torch.cuda.get_device_properties(x.device).multi_processor_count)
    return MULTIPROCESSORS.get(arch, MULTIPROCESSORS[90])


def choose(M: int, N: int, K: int, *, itemsize: int, halves: int, arch: int, sms: int, tma: bool) -> Config:
    """halves: 2 where a tile has two sums, of value and gate; they share its registers."""
    if itemsize == 4:  # no tensor cores: products of float32 are exact
        tall, wide = [32, 64], [64 // halves]
    else:
        tall = [m for m in (16, 32, 64, 128) if m == 16 or m < 2 * M]
        wide = [n // halves for n in (32, 64, 128, 256) if n < 256 or (tma and arch in SHARED)]
    parts = [p for p in range(1, 17) if p == 1 or (halves == 1 and 256 * p <= K)]
    BLOCK_M, BLOCK_N, PARTS = min(
        product(tall, wide, parts),
        key=lambda tile: estimate(M, N * halves, K, sms, tile[0], tile[1] * halves, tile[2]),
    )
    is_large = BLOCK_M * BLOCK_N * halves >= 128 * 128 and (halves == 1 or arch in SHARED)
    BLOCK_K = 16 if itemsize == 4 else 128 if BLOCK_M <= 32 else 64 if arch in SHARED else 32
    stage = (BLOCK_M + halves * BLOCK_N) * BLOCK_K * itemsize
    written = BLOCK_M * min(BLOCK_N, 128) * (4 if PARTS > 1 else itemsize)  # a tile's layout changes by shared memory
    room = SHARED.get(arch, 99) * 1024 - written - 1024
    return {
        "BLOCK_M": BLOCK_M,
        "BLOCK_N": BLOCK_N,
        "BLOCK_K": BLOCK_K,
        "GROUP_M": 8,
        "PARTS": PARTS,
        "num_warps": 8 if is_large else 4,
        "num_stages": max(2, min(4, room // stage)),
    }

"""Tiles for convolutions as matrix products, chosen by an estimate where nothing was measured."""

import math
from itertools import product

import triton

from fewstep.kernels.tuned import Config

SMS = 132  # an H200's; the others have 84 to 170
CLOCKS_PER_PROGRAM = 1500  # to fill the pipeline and to write the tile
CLOCKS_PER_LAUNCH = 4000
SHARED = {80: 163, 90: 227, 100: 227}  # KiB a program may have; 99 elsewhere


def estimate(pixels: int, C_out: int, steps: int, samples: int, BLOCK_M: int, BLOCK_N: int, PARTS: int) -> float:
    """Clocks of a 16-bit convolution with BLOCK_K = 64: tensor cores or L2, by waves; the parts, written and read."""
    programs = samples * math.ceil(pixels / BLOCK_M) * math.ceil(C_out / BLOCK_N)
    step = max(BLOCK_M * BLOCK_N / 32, 3.2 * (BLOCK_M + BLOCK_N))
    waves = math.ceil(programs * PARTS / SMS)
    clocks = waves * (math.ceil(steps / PARTS) * step + CLOCKS_PER_PROGRAM)
    if PARTS > 1:
        clocks += CLOCKS_PER_LAUNCH + samples * pixels * C_out * PARTS * 8 / 2600
    return clocks


def choose(H: int, W: int, C: int, C_out: int, taps: int, samples: int, itemsize: int, arch: int, tma: bool) -> Config:
    """H, W: of the output; samples: how many such pictures; tma: whether the inputs suit it."""
    narrow = C < 32
    BLOCK_K = 64 if C % 64 == 0 or C >= 256 else 32
    if narrow:
        BLOCK_K = min(64, max(16, triton.next_power_of_2(taps * C)))
    if itemsize == 4:
        BLOCK_K = 16
    steps = math.ceil(taps * C / BLOCK_K) if C < BLOCK_K else taps * math.ceil(C / BLOCK_K)
    sizes = (64, 128, 256) if tma else (16, 32, 64, 128)
    shared = SHARED.get(arch, 99) * 1024
    area = 64 * 64 if narrow or itemsize == 4 else 128 * 128  # what registers hold
    if tma and shared > 200 * 1024:
        area = 256 * 128
    tiles = [
        (m, n, parts)
        for m, n in product(sizes, sizes)
        for parts in range(1, 17)
        if m * n <= area
        and m <= max(2 * H * W - 1, sizes[0])
        and n <= max(2 * C_out - 1, sizes[0])
        and (parts == 1 or steps >= 6 * parts)
    ]
    BLOCK_M, BLOCK_N, PARTS = min(tiles, key=lambda tile: estimate(H * W, C_out, steps, samples, *tile))
    stage = (BLOCK_M + BLOCK_N) * BLOCK_K * itemsize
    config: Config = {
        "BLOCK_N": BLOCK_N, "BLOCK_K": BLOCK_K, "GROUP_M": 8, "PARTS": PARTS,
        "num_warps": 8 if BLOCK_M * BLOCK_N >= 128 * 128 else 4,
        "num_stages": min(4, shared // stage),
    }  # fmt: skip
    if not tma:
        return {"BLOCK_M": BLOCK_M} | config
    BLOCK_W = min(16, BLOCK_M, triton.next_power_of_2(W))
    return {"BLOCK_H": BLOCK_M // BLOCK_W, "BLOCK_W": BLOCK_W} | config

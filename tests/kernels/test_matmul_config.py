"""The tiles that are chosen fit every architecture, and fill it."""

import pytest
import torch

from fewstep.kernels.matmul import matmul_launches
from fewstep.kernels.matmul_config import MULTIPROCESSORS, SHARED, choose

SHAPES = [(1, 1280, 1280), (1, 14592, 2432), (77, 1280, 2048), (256, 1280, 5120), (4096, 12288, 3072), (1, 1, 1)]
ARCHS = (80, 86, 89, 90, 100, 120)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("halves", [1, 2])
@pytest.mark.parametrize("itemsize", [2, 4])
def test_tiles_fit_in_shared_memory(shape: tuple[int, int, int], arch: int, halves: int, itemsize: int) -> None:
    M, N, K = shape
    c = choose(M, N, K, itemsize=itemsize, halves=halves, arch=arch, sms=132, tma=arch >= 90)
    stage = (c["BLOCK_M"] + halves * c["BLOCK_N"]) * c["BLOCK_K"] * itemsize
    assert c["num_stages"] >= 2 and stage * c["num_stages"] <= SHARED.get(arch, 99) * 1024
    assert c["BLOCK_M"] * c["BLOCK_N"] * halves <= 128 * 256 and c["BLOCK_N"] >= 16
    assert c["PARTS"] == 1 or (halves == 1 and K // c["PARTS"] >= 256)


def test_few_tiles_share_a_long_sum() -> None:
    def chosen(M: int, N: int, K: int) -> tuple[int, int, int]:
        c = choose(M, N, K, itemsize=2, halves=1, arch=90, sms=132, tma=True)
        return c["BLOCK_M"], c["BLOCK_N"], c["PARTS"]

    assert chosen(256, 1280, 5120)[2] > 1
    assert chosen(4096, 12288, 3072) == (128, 256, 1)
    assert chosen(1, 14592, 2432)[0] == 16


@pytest.mark.parametrize("arch", ARCHS)
def test_every_multiprocessor_has_a_program(arch: int) -> None:
    a, b = (torch.empty(size, 3072, dtype=torch.float16, device="meta") for size in (4096, 12288))
    _, [launch] = matmul_launches(a, b, arch=arch)
    assert launch.grid == (MULTIPROCESSORS[arch], 1, 1)


def test_parts_of_many_rows_fit_a_grid() -> None:
    a, b = (torch.empty(size, 512, dtype=torch.float16, device="meta") for size in (2**20, 32))
    tile = {"BLOCK_M": 128, "BLOCK_N": 32, "BLOCK_K": 64, "GROUP_M": 8, "PARTS": 2, "num_warps": 4, "num_stages": 2}
    _, [_, add] = matmul_launches(a, b, arch=90, config=tile)
    assert add.grid == (2**18, 1, 1)

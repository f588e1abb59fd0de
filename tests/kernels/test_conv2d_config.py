import itertools

import pytest

from fewstep.kernels.conv2d_config import SHARED, choose, estimate

SHAPES = [  # H, W, C, C_out, taps
    (1, 1, 1, 1, 1),
    (64, 64, 4, 320, 9),
    (64, 64, 320, 320, 9),
    (64, 64, 320, 4, 9),
    (8, 8, 2560, 1280, 9),
    (512, 512, 128, 128, 9),
    (32, 32, 1152, 5760, 1),
    (24, 42, 96, 192, 9),
    (4, 4, 64, 32, 9),
]


@pytest.mark.parametrize("arch", [80, 86, 90, 120])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tiles_fit_the_shared_memory_and_the_picture(shape: tuple[int, int, int, int, int], arch: int) -> None:
    for itemsize, tma in itertools.product((2, 4), (False, True)):
        H, W, C, C_out, taps = shape
        if tma and (arch < 90 or itemsize == 4 or C % 8 or C_out < 32):
            continue
        config = choose(H, W, C, C_out, taps, 1, itemsize, arch, tma)
        BLOCK_M = config["BLOCK_H"] * config["BLOCK_W"] if tma else config["BLOCK_M"]
        stage = (BLOCK_M + config["BLOCK_N"]) * config["BLOCK_K"] * itemsize
        assert config["num_stages"] >= 2 and config["num_stages"] * stage <= SHARED.get(arch, 99) * 1024
        assert min(BLOCK_M, config["BLOCK_N"], config["BLOCK_K"]) >= 16
        least = 64 if tma else 16
        assert max(2 * H * W, least + 1) > BLOCK_M and config["BLOCK_N"] < max(2 * C_out, least + 1)


def test_small_pictures_are_split_and_large_ones_are_not() -> None:
    assert choose(8, 8, 1280, 1280, 9, 1, 2, 90, False)["PARTS"] > 4
    assert choose(512, 512, 128, 128, 9, 1, 2, 90, True)["PARTS"] == 1


def test_more_waves_take_longer() -> None:
    assert estimate(4096, 320, 45, 2, 128, 128, 1) > estimate(4096, 320, 45, 1, 128, 128, 1)
    assert estimate(4096, 320, 90, 1, 128, 128, 1) > estimate(4096, 320, 45, 1, 128, 128, 1)

from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded

from fewstep.kernels.group_norm import group_norm_launches, group_norm_ref
from fewstep.kernels.launch import run_all


def check(config: dict[str, int], **arguments: Any) -> None:
    y, launches = group_norm_launches(**arguments, config=config)
    run_all(launches)
    doubled: dict[str, Any] = {name: a.double() if name != "groups" else a for name, a in arguments.items()}
    eager: Any = group_norm_ref(**arguments)
    truth: Any = group_norm_ref(**doubled)
    assert not isinstance(y, tuple)
    assert_as_good_as(y, eager, truth)


def image(*shape: int, device: str) -> torch.Tensor:
    ramp = torch.linspace(0, 5, shape[-1])  # chunks of different means
    return guarded((torch.randn(*shape) + ramp).to(device))


@pytest.mark.parametrize("P", [1, 7, 8, 9, 24, 25])
@pytest.mark.parametrize("CHUNKS", [1, 2, 3])
def test_pixels_around_blocks_and_chunks(P: int, CHUNKS: int, device: str) -> None:
    check({"CHUNKS": CHUNKS, "BLOCK_P": 8, "SLAB_G": 2}, x=image(1, 6, P, device=device), groups=2)


@pytest.mark.parametrize("P", [31, 32, 33])
@pytest.mark.parametrize("PROGRAMS", [1, 3, 7])
def test_tiles_around_programs(P: int, PROGRAMS: int, device: str) -> None:
    check({"CHUNKS": 2, "PROGRAMS": PROGRAMS, "BLOCK_P": 8, "SLAB_G": 2}, x=image(2, 6, P, device=device), groups=2)


def test_chunks_of_unequal_size(device: str) -> None:
    x = image(1, 6, 40, device=device)
    x[..., 24:] += 50  # the two chunks of 3 and 2 tiles have different means
    check({"CHUNKS": 2, "BLOCK_P": 8, "SLAB_G": 3}, x=x, groups=3)


def test_more_chunks_than_tiles(device: str) -> None:
    check({"CHUNKS": 64, "BLOCK_P": 8, "SLAB_G": 1}, x=image(1, 4, 20, device=device), groups=2)


def test_spread_of_wide_and_narrow_chunks(device: str) -> None:
    x = image(1, 4, 32, device=device)
    x[..., :16] *= 100
    x[..., 16:] /= 100
    check({"CHUNKS": 4, "BLOCK_P": 8, "SLAB_G": 2}, x=x, groups=2)


def test_a_real_shape_is_split(device: str) -> None:
    x = image(1, 64, 1200, device=device).mT.contiguous().mT
    check({"CHUNKS": 3, "PROGRAMS": 3, "SLAB_G": 8}, x=x, groups=8)

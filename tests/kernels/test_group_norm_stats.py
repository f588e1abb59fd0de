from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded

from fewstep.errors import InputError
from fewstep.kernels.group_norm_stats import (
    group_norm_stats,
    group_norm_stats_cost,
    group_norm_stats_launches,
    group_norm_stats_ref,
)
from fewstep.kernels.launch import run_all

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SPLIT = {"CHUNKS": 2, "BLOCK_P": 8, "SLAB_G": 2}


def check(config: dict[str, int] | None = None, **arguments: Any) -> None:
    found, launches = group_norm_stats_launches(**arguments, config=config)
    run_all(launches)
    expected = group_norm_stats_ref(**arguments)
    truth = group_norm_stats_ref(**arguments | {"x": arguments["x"].double()})
    for out, eager, true in zip(found, expected, truth, strict=True):
        assert_as_good_as(out, eager, true)


def image(*shape: int, device: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return guarded((torch.randn(*shape) + 1).to(device, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("shape", "groups"), [((1, 1, 1, 2), 1), ((2, 30, 5, 7), 5), ((1, 8, 36), 4)], ids=str)
def test_mean_and_deviation(shape: tuple[int, ...], groups: int, dtype: torch.dtype, device: str) -> None:
    x = image(*shape, device=device, dtype=dtype)
    check(x=x, groups=groups)
    check(SPLIT, x=x, groups=groups)


@pytest.mark.parametrize("P", [15, 16, 17, 25])
@pytest.mark.parametrize("CHUNKS", [1, 2, 3])
def test_pixels_around_chunks(P: int, CHUNKS: int, device: str) -> None:
    check({"CHUNKS": CHUNKS, "BLOCK_P": 8, "SLAB_G": 1}, x=image(1, 6, P, device=device), groups=2)


@pytest.mark.parametrize("groups", [1, 3, 5])
def test_groups_around_a_block(groups: int, device: str) -> None:
    check(SPLIT, x=image(2, 2 * groups, 20, device=device), groups=groups)


@pytest.mark.parametrize("config", [None, SPLIT], ids=["one chunk", "two"])
@pytest.mark.parametrize("eps", [1e-6, 0.1])
@pytest.mark.parametrize(("mean", "deviation"), [(0, 1e-3), (-1000, 0.1), (1000.1, 0)])
def test_means_and_deviations_of_any_size(
    mean: float, deviation: float, eps: float, config: dict[str, int] | None, device: str
) -> None:
    x = guarded(image(1, 4, 5, 5, device=device) * deviation + mean)
    check(config, x=x, groups=2, eps=eps)


@pytest.mark.parametrize("config", [None, SPLIT], ids=["one chunk", "two"])
def test_takes_views(config: dict[str, int] | None, device: str) -> None:
    x = image(3, 8, 6, 7, device=device)
    check(config, x=x[1:, :4, 1:-1, 2:], groups=2)
    check(config, x=x.to(memory_format=torch.channels_last)[::2, 2:6], groups=2)


def test_refuses(device: str) -> None:
    with pytest.raises(InputError, match="groups: expected a divisor of the 6 channels, got 4"):
        group_norm_stats(torch.ones(1, 6, 2, 2), 4)
    with pytest.raises(InputError, match="x: expected dtype"):
        group_norm_stats(torch.ones(1, 6, 2, 2).int(), 3)


def test_describes_launches_without_memory() -> None:
    x = torch.empty(1, 320, 64, 64, device="meta")
    (mean, rstd), launches = group_norm_stats_launches(x, 32, arch=90)
    assert mean.shape == rstd.shape == (1, 32) and len(launches) == 2
    assert len(group_norm_stats_launches(x[..., :16, :16], 32, arch=90)[1]) == 1
    assert group_norm_stats_cost(x, 32).bytes == 4 * x.numel() + 8 * 32


def test_eager_call(device: str) -> None:
    mean, rstd = group_norm_stats(image(1, 4, 3, 3, device=device), 2)
    assert mean.dtype == rstd.dtype == torch.float32 and mean.shape == rstd.shape == (1, 2)

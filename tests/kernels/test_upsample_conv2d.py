from typing import Any

import pytest
import torch
from convolutions import DTYPES, double, kernel_weight, picture, vector
from testing import assert_as_good_as
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.launch import run_all
from fewstep.kernels.upsample_conv2d import (
    fold_weight,
    upsample_conv2d,
    upsample_conv2d_cost,
    upsample_conv2d_launches,
    upsample_conv2d_ref,
)

GATHER = {"BLOCK_M": 16, "BLOCK_N": 16, "BLOCK_K": 16, "GROUP_M": 2, "PARTS": 1}
TMA = {"BLOCK_H": 4, "BLOCK_W": 4, "BLOCK_N": 16, "BLOCK_K": 16, "GROUP_M": 2, "PARTS": 1}


def check(x: Tensor, weight: Tensor, *args: Tensor, config: dict[str, int] | None = None, **options: Any) -> None:
    y, launches = upsample_conv2d_launches(x, fold_weight(weight), *args, config=config, **options)
    run_all(launches)
    doubles = {name: double(value) for name, value in options.items()}
    truth = upsample_conv2d_ref(x.double(), weight.double(), *map(double, args), **doubles)
    assert_as_good_as(y, upsample_conv2d_ref(x, weight, *args, **options), truth)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("B", "C", "H", "W", "C_out"), [(1, 1, 1, 1, 1), (2, 16, 3, 4, 17)], ids=str)
def test_equals_upsampling_and_convolving(
    B: int, C: int, H: int, W: int, C_out: int, dtype: torch.dtype, device: str
) -> None:
    check(picture(device, dtype, B, C, H, W), kernel_weight(device, dtype, C_out, C, 3, 3), config=GATHER)


@pytest.mark.parametrize("config", [GATHER, TMA | {"PARTS": 2}, TMA, GATHER | {"PARTS": 3}], ids=str)
def test_every_kernel_finishes_every_corner(config: dict[str, int], device: str) -> None:
    x = picture(device, torch.float16, 2, 24, 3, 2)
    check(
        x,
        kernel_weight(device, torch.float16, 5, 24, 3, 3),
        vector(device, torch.float16, 5),
        config=config,
        embedding=vector(device, torch.float16, 2, 5, seed=4),
        residual=picture(device, torch.float16, 2, 5, 6, 4, seed=5),
        scale=0.5,
        activation="silu",
    )


def test_folds_exactly() -> None:
    weight = torch.arange(9.0).view(1, 1, 3, 3)
    folded = fold_weight(weight).view(2, 2, 2, 2)
    assert folded[0, 0].tolist() == [[0, 1 + 2], [3 + 6, 4 + 5 + 7 + 8]]
    assert folded[1, 1].tolist() == [[0 + 1 + 3 + 4, 2 + 5], [6 + 7, 8]]
    assert folded.sum() == 4 * weight.sum()


def test_chooses_tiles_itself(device: str) -> None:
    x, weight = picture(device, torch.float32, 1, 3, 2, 3), kernel_weight(device, torch.float32, 2, 3, 3, 3)
    torch.testing.assert_close(upsample_conv2d(x, fold_weight(weight)), upsample_conv2d_ref(x, weight))


def test_cost_counts_four_taps(device: str) -> None:
    x, folded = (
        picture(device, torch.float16, 2, 3, 4, 5),
        fold_weight(kernel_weight(device, torch.float16, 7, 3, 3, 3)),
    )
    y, _ = upsample_conv2d_launches(x, folded)
    cost = upsample_conv2d_cost(x, folded)
    assert cost == (2 * (x.numel() + folded.numel() + y.numel()), 2 * y.numel() * 3 * 4)


def test_refuses(device: str) -> None:
    x = picture(device, torch.float16, 1, 3, 4, 5)
    with pytest.raises(InputError, match=r"weight: expected shape \(any, any, 3, 3\), got \(2, 3, 1, 1\)"):
        fold_weight(torch.randn(2, 3, 1, 1))
    with pytest.raises(InputError, match=r"folded: expected shape \(4, 3, 2, 2\), got \(7, 3, 2, 2\)"):
        upsample_conv2d(x, kernel_weight(device, torch.float16, 7, 3, 2, 2))
    with pytest.raises(InputError, match=r"residual: expected shape \(1, 2, 8, 10\)"):
        upsample_conv2d(x, kernel_weight(device, torch.float16, 8, 3, 2, 2), residual=x)

import pytest
import torch
from convolutions import DTYPES, picture, vector
from testing import assert_as_good_as, guarded

from fewstep.errors import InputError
from fewstep.kernels.depthwise_conv2d import (
    arrange_depthwise_weight,
    depthwise_conv2d,
    depthwise_conv2d_cost,
    depthwise_conv2d_launches,
    depthwise_conv2d_ref,
)
from fewstep.kernels.launch import run_all

SMALL = {"ROWS": 2, "BLOCK_W": 4, "BLOCK_D": 16}


def weight_of(device: str, dtype: torch.dtype, C: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(C, 1, 3, 3, generator=generator)
    return guarded(arrange_depthwise_weight(weight.to(device, dtype)))


def check(x: torch.Tensor, *args: torch.Tensor, gated: bool, config: dict[str, int] | None = None) -> None:
    y, launches = depthwise_conv2d_launches(x, *args, gated=gated, config=config)
    run_all(launches)
    truth = depthwise_conv2d_ref(x.double(), *(arg.double() for arg in args), gated=gated)
    assert_as_good_as(y, depthwise_conv2d_ref(x, *args, gated=gated), truth)
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 2, 1, 1), (2, 16, 4, 4), (1, 34, 5, 3), (2, 6, 3, 9), (1, 2, 2, 8), (1, 2, 6, 5)], ids=str
)
def test_every_shape(shape: tuple[int, int, int, int], gated: bool, device: str) -> None:
    x, C = picture(device, torch.float16, *shape), shape[1]
    check(x, weight_of(device, torch.float16, C), vector(device, torch.float16, C), gated=gated, config=SMALL)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("gated", [False, True])
def test_every_dtype_without_bias(dtype: torch.dtype, gated: bool, device: str) -> None:
    check(picture(device, dtype, 1, 12, 3, 5), weight_of(device, dtype, 12), gated=gated, config=SMALL | {"ROWS": 1})


def test_takes_views_and_chooses_tiles_itself(device: str) -> None:
    x = picture(device, torch.float16, 3, 30, 9, 8)[::2, 4:20, ::2, 1::2]
    check(x, weight_of(device, torch.float16, 16), gated=True)
    y = depthwise_conv2d(x, weight_of(device, torch.float16, 16))
    assert y.shape == x.shape


@pytest.mark.filterwarnings("ignore:overflow")  # silu(-1e4) divides by infinity, and is -0
def test_large_gates_shut_and_open(device: str) -> None:
    x = torch.tensor([3.0, 3.0, 1e4, -1e4], device=device).view(1, 4, 1, 1)
    weight = torch.zeros(3, 3, 4, device=device)
    weight[1, 1] = 1
    assert depthwise_conv2d(x, weight, gated=True).flatten().tolist() == [3e4, 0]


def test_an_infinity_stays_in_its_neighbourhood(device: str) -> None:
    x = torch.zeros(1, 2, 5, 5, device=device).contiguous(memory_format=torch.channels_last)
    x[0, 0, 0, 0] = float("inf")
    y = depthwise_conv2d(x, torch.ones(3, 3, 2, device=device))
    assert y[0, 0].isinf().sum() == 4 and y[0, 0, :2, :2].isinf().all() and (y[0, 1] == 0).all()


def test_cost_counts_the_gate(device: str) -> None:
    x, weight = picture(device, torch.float16, 2, 6, 3, 4), weight_of(device, torch.float16, 6)
    for gated in (False, True):
        y, _ = depthwise_conv2d_launches(x, weight, gated=gated)
        cost = depthwise_conv2d_cost(x, weight, gated=gated)
        assert cost == (2 * (x.numel() + weight.numel() + y.numel()), 18 * x.numel())


def test_refuses(device: str) -> None:
    x, weight = picture(device, torch.float32, 1, 3, 4, 4), weight_of(device, torch.float32, 3)
    with pytest.raises(InputError, match="x: expected an even number of channels, of which half are gates, got 3"):
        depthwise_conv2d(x, weight, gated=True)
    with pytest.raises(InputError, match=r"weight: expected shape \(any, 1, 3, 3\), got \(3, 1, 5, 5\)"):
        arrange_depthwise_weight(torch.randn(3, 1, 5, 5))
    with pytest.raises(InputError, match=r"weight: expected shape \(3, 3, 3\), got \(3, 3, 4\)"):
        depthwise_conv2d(x, weight_of(device, torch.float32, 4))
    with pytest.raises(InputError, match=r"bias: expected shape \(3\), got \(4,\)"):
        depthwise_conv2d(x, weight, torch.randn(4, device=device))
    with pytest.raises(InputError, match="bias: expected stride 1"):
        depthwise_conv2d(x, weight, torch.randn(6, device=device)[::2])
    with pytest.raises(InputError, match=r"x: expected channels last .* got strides \(48, 16, 4, 1\)"):
        depthwise_conv2d(x.contiguous(memory_format=torch.contiguous_format), weight)
    with pytest.raises(InputError, match="weight: expected it contiguous"):
        depthwise_conv2d(x, weight.transpose(0, 1))
    with pytest.raises(InputError, match=r"x: expected shape .*, got \(3, 4, 4\)"):
        depthwise_conv2d(x[0], weight)
    for name, tensors in (("x", (x.double(), weight)), ("weight", (x, weight.double()))):
        with pytest.raises(InputError, match=f"{name}: expected dtype"):
            depthwise_conv2d(*tensors)
    with pytest.raises(InputError, match=r"one device, got x on c.*, weight on meta"):
        depthwise_conv2d(x, weight.to("meta"))
    for shape in ((1, 32769, 1, 3), (1, 1, 32769, 3)):
        with pytest.raises(InputError, match="expected a whole number from 1 to 32768, got 32769"):
            depthwise_conv2d_launches(torch.empty(shape, device="meta").permute(0, 3, 1, 2), weight.to("meta"))

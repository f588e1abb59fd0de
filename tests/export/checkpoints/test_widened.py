"""Weights of 16 bits that are taken for float32: the same results to the bit, and no copy that stays."""

import pytest
import torch
from torch import nn

from fewstep.export.checkpoints.widened import SMALL, Widened, plain, widened

N = 257
DTYPES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)


def stored(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)


@DTYPES
@torch.no_grad()
def test_a_layer_computes_what_it_does_in_float32(dtype: torch.dtype) -> None:
    weight, kernel = stored(dtype, N, N), stored(dtype, 32, 32, 9, 9)
    x, picture = torch.randn(3, N), torch.randn(2, 32, 16, 16)
    linear, conv, table = nn.Linear(N, N), nn.Conv2d(32, 32, 9), nn.Embedding(N, N)
    expected = [
        nn.functional.linear(x, weight.float(), linear.bias),
        nn.functional.conv2d(picture, kernel.float(), conv.bias),
        weight.float()[[3, 5]],
    ]
    for layer, given in ((linear, weight), (conv, kernel), (table, weight)):
        layer.weight = nn.Parameter(widened(given), requires_grad=False)
        assert isinstance(layer.weight, Widened) and layer.weight.dtype == torch.float32
        layer.to("cpu").eval()
        assert layer.weight.stored.data_ptr() == given.data_ptr()
    found = [linear(x), conv(picture), table(torch.tensor([3, 5]))]
    assert all(torch.equal(a, b) and type(a) is torch.Tensor for a, b in zip(found, expected, strict=True))


def test_small_and_wide_ones_are_plain() -> None:
    small, wide = stored(torch.float16, SMALL - 1), torch.randn(SMALL)
    assert type(widened(small)) is torch.Tensor and torch.equal(widened(small), small.float())
    assert widened(wide) is wide
    assert isinstance(widened(stored(torch.float16, SMALL)), Widened)


def test_none_is_written_to() -> None:
    weight = widened(stored(torch.float16, N, N))
    with pytest.raises(TypeError, match="not written to"):
        weight.add_(1)
    with pytest.raises(TypeError, match="not written to"):
        weight.copy_(torch.zeros(N, N))


@torch.no_grad()
def test_a_plain_network_has_copies_of_its_own() -> None:
    given = stored(torch.bfloat16, N, N)
    network = nn.Sequential(nn.Linear(N, N), nn.Linear(N, N))
    network[0].weight = network[1].weight = nn.Parameter(widened(given), requires_grad=False)
    plain(network)
    assert network[0].weight is network[1].weight and type(network[0].weight) is nn.Parameter
    assert torch.equal(network[0].weight, given.float())
    network[0].weight.zero_()
    assert given.abs().max() > 0

from collections.abc import Callable
from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.launch import run_all
from fewstep.kernels.linear_attention import (
    linear_attention,
    linear_attention_cost,
    linear_attention_launches,
    linear_attention_ref,
)

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
CONFIGS = {"one launch": {"BLOCK_N": 16, "SPLITS": 1}, "two launches": {"BLOCK_N": 16, "SPLITS": 3}}
configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def problem(device: str, *shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(sum(shape))
    q, k, v = (guarded((torch.randn(shape, device=device) + 0.5).to(dtype)) for _ in range(3))
    return q, k, v


def check(q: Tensor, k: Tensor, v: Tensor, *, config: dict[str, Any] | None = None, eps: float = 1e-15) -> None:
    got, launches = linear_attention_launches(q, k, v, config=config, eps=eps)
    run_all(launches)
    truth = linear_attention_ref(q.double(), k.double(), v.double(), eps=eps)
    assert_as_good_as(got, linear_attention_ref(q, k, v, eps=eps), truth)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 7, 3, 8), (1, 300, 2, 32), (1, 20, 1, 128)], ids=str)
def test_attends(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    check(*problem(device, *shape, dtype=dtype))


@configs
@pytest.mark.parametrize("N", [1, 15, 16, 17, 48, 49, 100])
def test_tokens_about_a_block(N: int, config: dict[str, Any], device: str) -> None:
    check(*problem(device, 1, N, 1, 16), config=config)


@configs
@pytest.mark.parametrize("D", [1, 15, 17, 32, 40])
def test_head_widths_about_a_block(D: int, config: dict[str, Any], device: str) -> None:
    check(*problem(device, 1, 50, 1, D), config=config)


@configs
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_batches_heads_and_views(dtype: torch.dtype, config: dict[str, Any], device: str) -> None:
    packed = (torch.randn(2, 2, 3, 20, 24, device=device) + 0.5).to(dtype)  # as DC-AE packs: (B, H, 3, N, D)
    q, k, v = (guarded(x.transpose(1, 2)) for x in packed.unbind(2))
    check(q, k, v, config=config)
    rows = (torch.randn(2, 20, 3 * 48, device=device) + 0.5).to(dtype)
    q, k, v = (guarded(x.unflatten(-1, (2, 24))) for x in rows.chunk(3, dim=-1))
    check(q, k, v, config=config)


@configs
def test_eps(config: dict[str, Any], device: str) -> None:
    check(*problem(device, 1, 20, 1, 16), config=config, eps=3.0)


@configs
def test_where_relu_leaves_nothing_the_output_is_0(config: dict[str, Any], device: str) -> None:
    q, k, v = problem(device, 1, 20, 1, 16)
    q[:, 3] = -1
    check(q, k, v, config=config)
    check(q, -k.abs(), v, config=config)


@configs
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_extremes(dtype: torch.dtype, config: dict[str, Any], device: str) -> None:
    q, k, v = problem(device, 1, 50, 1, 16, dtype=dtype)
    check(q * 1000, k * 10000, v * 10000, config=config)
    check(torch.ones_like(q), torch.ones_like(k), torch.full_like(v, 60000.0), config=config)


@pytest.mark.parametrize("N", [40, 300])
def test_the_same_bits_twice(N: int, device: str) -> None:
    q, k, v = problem(device, 1, N, 2, 16)
    assert linear_attention(q, k, v).equal(linear_attention(q, k, v))


REFUSALS: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "rank": (lambda x: linear_attention(x[0], x, x), r"q: expected shape \(any, any, any, any\), got \(3, 2, 16\)"),
    "k": (lambda x: linear_attention(x, x[:, 1:], x), r"k: expected shape \(1, 3, 2, 16\), got \(1, 2, 2, 16\)"),
    "v": (lambda x: linear_attention(x, x, x[:, 1:]), r"v: expected shape \(1, 3, 2, 16\), got \(1, 2, 2, 16\)"),
    "dtype": (lambda x: linear_attention(x.double(), x, x), "q: expected dtype float16 or bfloat16 or float32, got"),
    "dtypes": (lambda x: linear_attention(x, x, x.half()), "v: expected dtype float32, got float16"),
    "stride": (lambda x: linear_attention(x, x.mT.contiguous().mT, x), "k: expected stride 1 in the last axis"),
    "eps": (lambda x: linear_attention(x, x, x, eps=-1.0), r"eps: expected a number of at least 0, got -1\.0"),
    "eps NaN": (lambda x: linear_attention(x, x, x, eps=float("nan")), "eps: expected a number of at least 0, got nan"),
    "device": (lambda x: linear_attention(x, x.to("meta"), x), "expected tensors on one device, got q on"),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refuses(call: Callable[[Tensor], object], message: str, device: str) -> None:
    with pytest.raises(InputError, match=message):
        call(torch.randn(1, 3, 2, 16, device=device))


def meta(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.bfloat16, device="meta")


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 2, 1, 129), "D: expected a whole number from 1 to 128, got 129"),
     ((65536, 2, 1, 8), "B: expected a whole number from 1 to 65535, got 65536")],
)  # fmt: skip
def test_refuses_sizes_over_the_limits(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        linear_attention_launches(meta(*shape), meta(*shape), meta(*shape))


@pytest.mark.parametrize(
    ("shape", "grids"),
    [((1, 1024, 70, 32), [(70, 2, 1), (70, 2, 1)]), ((1, 1024, 36, 32), [(36, 4, 1), (36, 4, 1)]),
     ((1, 256, 36, 32), [(36, 1, 1)]), ((4, 1024, 36, 32), [(36, 4, 1)])],
)  # fmt: skip
def test_splits_until_the_gpu_is_full(shape: tuple[int, ...], grids: list[tuple[int, int, int]]) -> None:
    q = meta(*shape)
    assert [launch.grid for launch in linear_attention_launches(q, q, q)[1]] == grids


def test_declares_its_cost() -> None:
    q = torch.empty(2, 10, 4, 8)
    assert linear_attention_cost(q, q, q) == (4 * 640 * 4, 4 * 640 * 8)

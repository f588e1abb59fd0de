from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep.kernels.attention import attention, attention_cost, attention_launches, attention_ref
from fewstep.kernels.attention_problem import split_head
from fewstep.kernels.launch import run_all

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
FLASH = {"BLOCK_N": 16, "BLOCK_M": 16}
KERNELS = {
    "small": {"BLOCK_N": 16},
    "flash": FLASH,
    "tma": FLASH | {"IS_TMA": True},
    "wide": FLASH | {"BLOCK_D": 32, "CHUNK_D": 16},
}
kernels = pytest.mark.parametrize("config", KERNELS.values(), ids=KERNELS)


def random(device: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return guarded((torch.randn(shape, device=device) + 0.5).to(dtype))


def problem(
    device: str, B: int, H: int, N: int, M: int, D: int, dtype: torch.dtype = torch.float32, G: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(N + M + D)
    k, v = (random(device, B, G or H, M, D, dtype=dtype) for _ in range(2))
    return random(device, B, H, N, D, dtype=dtype), k, v


def check(
    q: Tensor, k: Tensor, v: Tensor, *, config: dict[str, Any] | None = None, like: Tensor | None = None, **options: Any
) -> Tensor:
    """like: the v that the references take instead, such as one without NaN."""
    got, launches = attention_launches(q, k, v, config=config, **options)
    run_all(launches)
    eager = attention_ref(q, k, v if like is None else like, **options)
    truth = attention_ref(q.double(), k.double(), (v if like is None else like).double(), **options)
    assert_as_good_as(got, eager, truth)
    return got


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("N", "M", "D"), [(1, 1, 1), (3, 5, 40), (64, 77, 64), (33, 130, 72), (7, 40, 160), (3, 20, 512)], ids=str
)
def test_attends(N: int, M: int, D: int, dtype: torch.dtype, device: str) -> None:
    check(*problem(device, 1, 2, N, M, D, dtype))


@kernels
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_kernel_in_each_dtype(dtype: torch.dtype, config: dict[str, Any], device: str) -> None:
    check(*problem(device, 1, 1, 17, 33, 48, dtype), config=config)


@kernels
@pytest.mark.parametrize("N", [15, 16, 17])
@pytest.mark.parametrize("M", [1, 16, 31, 33])
def test_lengths_about_a_block(N: int, M: int, config: dict[str, Any], device: str) -> None:
    check(*problem(device, 1, 1, N, M, 16), config=config)


@kernels
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_one_key_of_any_weight_is_all_there_is(logit: float, config: dict[str, Any], device: str) -> None:
    q, k, v = problem(device, 1, 1, 3, 1, 16)
    check(q.fill_(1), k.fill_(logit), v, config=config)


@kernels
@pytest.mark.parametrize("D", [1, 8, 17, 31, 33, 48, 64, 72])
def test_head_widths_about_a_block(D: int, config: dict[str, Any], device: str) -> None:
    check(*problem(device, 1, 1, 17, 18, D), config=config)


@kernels
@pytest.mark.parametrize("D", [16, 40])
def test_batches_and_grouped_heads(D: int, config: dict[str, Any], device: str) -> None:
    check(*problem(device, 2, 4, 3, 17, D, G=2), config=config)


@kernels
def test_views_of_packed_projections(config: dict[str, Any], device: str) -> None:
    packed = torch.randn(2, 5, 3, 2, 40, device=device) + 0.5
    q, k, v = (guarded(x.transpose(1, 2)) for x in packed.unbind(2))
    y = check(q, k, v, config=config)
    assert y.transpose(1, 2).is_contiguous()


@kernels
def test_views_that_begin_at_no_16_bytes(config: dict[str, Any], device: str) -> None:
    packed = torch.randn(2, 2, 5, 99, device=device) + 0.5
    q, k, v = (guarded(x[:1]) for x in packed.split(33, dim=-1))
    check(q, k, v, config=config)
    check(q[:, :1].expand(-1, 2, -1, -1), k.expand(1, -1, -1, -1), v[:, :1].expand(-1, 2, -1, -1), config=config)


@kernels
def test_only_the_keys_within_the_lengths_count(config: dict[str, Any], device: str) -> None:
    q, k, v = problem(device, 7, 1, 3, 35, 40)
    lengths = guarded(torch.tensor([35, 1, 15, 16, 17, 32, 34], dtype=torch.int32, device=device))
    poisoned = v.clone()
    for b, length in enumerate(lengths.tolist()):
        poisoned[b, :, length:] = torch.nan
    check(q, k, poisoned, like=v, config=config, lengths=lengths)


@kernels
def test_without_keys_the_output_is_0(config: dict[str, Any], device: str) -> None:
    q, k, v = problem(device, 3, 1, 2, 18, 16)
    lengths = torch.tensor([0, -1, 99], dtype=torch.int32, device=device)
    y, launches = attention_launches(q, k, v, lengths=lengths, config=config)
    run_all(launches)
    assert (y[:2] == 0).all()
    torch.testing.assert_close(y[2:], attention_ref(q[2:], k[2:], v[2:]))


@kernels
def test_a_scale(config: dict[str, Any], device: str) -> None:
    check(*problem(device, 1, 1, 3, 18, 40), config=config, scale=0.03)


@kernels
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_extremes(dtype: torch.dtype, config: dict[str, Any], device: str) -> None:
    q, k, v = problem(device, 1, 1, 5, 18, 40, dtype)
    check(q * 200, k, v, config=config)  # logits in the hundreds
    check(-q.abs() * 200, k.abs(), v, config=config)  # all of them far below 0
    check(torch.ones_like(q), torch.ones_like(k), v, config=config)  # constant rows
    check(q, k, torch.full_like(v, 60000.0), config=config)


@kernels
def test_large_logits_of_16_bits_do_not_overflow(config: dict[str, Any], device: str) -> None:
    q, k, v = problem(device, 1, 1, 3, 18, 40, torch.float16)
    check(q.sign() * 30000, k * 1000, v, config=config, scale=1e-6)


def test_the_same_bits_twice(device: str) -> None:
    q, k, v = problem(device, 1, 2, 33, 150, 40, torch.float16)
    assert attention(q, k, v).equal(attention(q, k, v))


@pytest.mark.parametrize(
    ("D", "expected"),
    [(1, (16, 0)), (17, (32, 0)), (40, (32, 16)), (48, (32, 16)), (49, (64, 0)), (64, (64, 0)), (65, (64, 16)),
     (72, (64, 16)), (80, (64, 16)), (96, (64, 32)), (112, (128, 0)), (160, (128, 32)), (384, (256, 128)),
     (512, (512, 0))],
)  # fmt: skip
def test_heads_are_split_where_it_saves(D: int, expected: tuple[int, int]) -> None:
    assert split_head(D, torch.float16) == expected


def test_a_head_of_fp8_is_split_into_at_least_32() -> None:
    assert split_head(40, torch.float8_e4m3fn) == (64, 0)
    assert split_head(72, torch.float8_e4m3fn) == (64, 32)


def test_declares_its_cost() -> None:
    q, k = torch.empty(2, 4, 10, 8), torch.empty(2, 2, 20, 8)
    assert attention_cost(q, k, k) == (4 * (2 * 640 + 2 * 640), 4 * 2 * 4 * 10 * 20 * 8)

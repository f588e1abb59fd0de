"""Attention with a mask and in causal order, of the kernel that takes them."""

import math
from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.attention import attention, attention_launches, attention_ref
from fewstep.kernels.launch import run_all

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
BLOCKS = {"BLOCK_N": 16, "BLOCK_M": 16, "IS_TMA": True}  # the copy engine is left out
LEAST = torch.finfo(torch.float32).min


def problem(
    device: str, B: int, H: int, N: int, M: int, D: int, dtype: torch.dtype = torch.float32, G: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(N + M + D)
    shapes = (B, H, N, D), (B, G or H, M, D), (B, G or H, M, D)
    q, k, v = (guarded((torch.randn(shape, device=device) + 0.5).to(dtype)) for shape in shapes)
    return q, k, v


def check(q: Tensor, k: Tensor, v: Tensor, config: dict[str, Any] | None = BLOCKS, **options: Any) -> Tensor:
    got, launches = attention_launches(q, k, v, config=config, **options)
    run_all(launches)
    truth = attention_ref(q.double(), k.double(), v.double(), **options)
    assert_as_good_as(got, attention_ref(q, k, v, **options), truth)
    return got


def bias(device: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return guarded((3 * torch.randn(shape, device=device)).to(dtype))


@pytest.mark.parametrize("N", [1, 15, 16, 17, 33])
@pytest.mark.parametrize("M", [1, 16, 31, 33, 48])
def test_a_query_reads_the_keys_up_to_it(N: int, M: int, device: str) -> None:
    check(*problem(device, 1, 1, N, M, 16), causal=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_causal_order_in_each_dtype(dtype: torch.dtype, device: str) -> None:
    check(*problem(device, 2, 4, 35, 35, 40, dtype, G=2), causal=True, scale=0.3)
    check(*problem(device, 1, 2, 77, 77, 64, dtype), config=None, causal=True)


def test_later_keys_do_not_matter(device: str) -> None:
    q, k, v = problem(device, 1, 1, 17, 40, 16)
    whole = attention(q, k, v, causal=True)
    k[:, :, 20:], v[:, :, 20:] = 100, -100
    assert attention(q, k, v, causal=True).equal(whole)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mask_dtype", DTYPES, ids=str)
def test_a_mask_of_each_dtype(dtype: torch.dtype, mask_dtype: torch.dtype, device: str) -> None:
    q, k, v = problem(device, 2, 2, 18, 35, 40, dtype)
    check(q, k, v, mask=bias(device, 2, 2, 18, 35, dtype=mask_dtype), scale=0.3)


@pytest.mark.parametrize("N", [1, 16, 17])
@pytest.mark.parametrize("M", [1, 16, 33])
def test_masks_about_a_block(N: int, M: int, device: str) -> None:
    q, k, v = problem(device, 1, 1, N, M, 16)
    check(q, k, v, mask=bias(device, 1, 1, N, M))


def test_masks_of_any_strides(device: str) -> None:
    B, H, N, M = 2, 3, 18, 20
    q, k, v = problem(device, B, H, N, M, 16)
    for mask in (
        bias(device, B, 1, 1, M).expand(B, H, N, M),
        bias(device, 1, H, N, 1).expand(B, H, N, M),
        bias(device, M, N, H, B).permute(3, 2, 1, 0),
        bias(device, B, H, N, 2 * M)[..., ::2],
    ):
        check(q, k, v, mask=mask)


def test_keys_that_a_mask_leaves_out(device: str) -> None:
    q, k, v = problem(device, 1, 2, 5, 50, 16)
    mask = bias(device, 1, 2, 5, 50)
    mask[:, :, 0, :33] = -math.inf  # the first tiles whole
    mask[:, :, 1, 16:] = -math.inf
    mask[:, :, 2, 1::2] = LEAST
    mask[:, :, 3] = LEAST  # all alike: every key counts the same
    mask[:, 0, 4] = -math.inf
    y = check(q, k, v, mask=mask)
    assert (y[:, 0, 4] == 0).all() and (y[:, 1, 4] != 0).all()
    torch.testing.assert_close(y[:, :, 3], v.mean(2))


def test_a_mask_in_causal_order_within_lengths(device: str) -> None:
    q, k, v = problem(device, 4, 2, 35, 40, 40)
    lengths = torch.tensor([40, 17, 0, 5], dtype=torch.int32, device=device)
    y = check(q, k, v, mask=bias(device, 4, 2, 35, 40), lengths=lengths, causal=True)
    assert (y[2] == 0).all()
    check(q, k, v, lengths=lengths, causal=True)


def test_large_logits_beside_a_mask(device: str) -> None:
    q, k, v = problem(device, 1, 1, 5, 35, 16)
    check(q * 200, k, v, mask=bias(device, 1, 1, 5, 35) * 100)
    check(-q.abs() * 200, k.abs(), v, mask=bias(device, 1, 1, 5, 35))


def test_what_no_kernel_takes_is_refused() -> None:
    q, wide = (torch.empty(1, 2, 4, D, dtype=torch.float16, device="meta") for D in (16, 257))
    e4m3 = q.to(torch.float8_e4m3fn)
    with pytest.raises(InputError, match=r"mask: expected .*\(1, 2, 4, 4\)"):
        attention_launches(q, q, q, mask=torch.empty(1, 1, 4, 4, device="meta"), arch=80)
    with pytest.raises(InputError, match="mask: expected dtype"):
        attention_launches(q, q, q, mask=torch.empty(1, 2, 4, 4, dtype=torch.bool, device="meta"), arch=80)
    with pytest.raises(InputError, match="D: expected"):
        attention_launches(wide, wide, wide, causal=True, arch=80)
    with pytest.raises(InputError, match="q: expected dtype"):
        attention_launches(e4m3, e4m3, e4m3, causal=True, arch=90)

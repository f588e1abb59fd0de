import math
from typing import Any

import pytest
import torch
from testing import assert_as_good_as, guarded
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.attention import attention_launches, attention_ref
from fewstep.kernels.launch import run_all

FP8 = torch.float8_e4m3fn
FLASH = {"BLOCK_N": 16, "BLOCK_M": 32}
KERNELS = {
    "small": {"BLOCK_N": 16},
    "flash": FLASH,
    "tma": FLASH | {"IS_TMA": True},
    "wide": FLASH | {"BLOCK_D": 32, "CHUNK_D": 32},
}
kernels = pytest.mark.parametrize("config", KERNELS.values(), ids=KERNELS)
SCALES: dict[str, Any] = {"q_scale": 0.5, "k_scale": 0.25, "v_scale": 2.0}


def fp8_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's own, with probabilities in e4m3 of the row's largest: what fp8 costs at the least."""
    s = q.float() @ k.float().mT * q.shape[-1] ** -0.5
    p = torch.exp(s - s.amax(-1, keepdim=True))
    y = (p * 256).to(FP8).float() @ v.float() / 256 / p.sum(-1, keepdim=True)
    return y.to(torch.bfloat16)


def quantised(device: str, *shape: int) -> Tensor:
    return (torch.randn(shape, device=device) + 0.5).to(FP8)


@pytest.mark.skipif(torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 9), reason="needs sm_89")
@kernels
@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("D", [64, 72])
def test_attends_in_fp8(D: int, is_transposed: bool, config: dict[str, Any], device: str) -> None:
    torch.manual_seed(D)
    q, k = guarded(quantised(device, 2, 2, 17, D)), guarded(quantised(device, 2, 2, 48, D))
    v = guarded(quantised(device, 2, 2, D, 48).mT if is_transposed else quantised(device, 2, 2, 48, D))
    y, launches = attention_launches(q, k, v, config=config, **SCALES)
    run_all(launches)
    q64, k64, v64 = (x.double() * scale for x, scale in zip((q, k, v), SCALES.values(), strict=True))
    assert_as_good_as(y, fp8_attention(q64, k64, v64), attention_ref(q64, k64, v64))


@pytest.mark.skipif(torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 9), reason="needs sm_89")
@kernels
def test_many_small_probabilities_are_not_lost(config: dict[str, Any], device: str) -> None:
    """47 keys of exp(-8) of the largest each, a sixth of what e4m3 rounds to 0."""
    q, k, v = (torch.full((1, 1, rows, 64), value, device=device) for rows, value in ((1, 1.0), (48, -1.0), (48, 1.0)))
    k[:, :, 0], v[:, :, 0] = 0, 0
    y, launches = attention_launches(q.to(FP8), k.to(FP8), v.to(FP8), config=config, out_dtype=torch.float32)
    run_all(launches)
    small = 47 * math.exp(-8)
    torch.testing.assert_close(y, torch.full_like(y, small / (1 + small)), rtol=2**-4, atol=0)


@pytest.mark.skipif(torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 9), reason="needs sm_89")
@kernels
def test_fp8_with_lengths_and_an_output_dtype(config: dict[str, Any], device: str) -> None:
    torch.manual_seed(0)
    q, k, v = guarded(quantised(device, 3, 1, 2, 64)), quantised(device, 3, 1, 40, 64), quantised(device, 3, 1, 40, 64)
    v.view(torch.uint8)[0, :, 7:] = 0x7F  # NaN
    lengths = torch.tensor([7, 0, 40], dtype=torch.int32, device=device)
    y, launches = attention_launches(q, k, v, lengths=lengths, config=config, out_dtype=torch.float32)
    run_all(launches)
    assert y.dtype == torch.float32 and (y[1] == 0).all()
    truth = attention_ref(q[:1].double(), k[:1, :, :7].double(), v[:1, :, :7].double())
    eager = fp8_attention(q[:1], k[:1, :, :7], v[:1, :, :7]).float()
    assert_as_good_as(y[:1], eager, truth)


def test_fp8_needs_sm_89() -> None:
    q = torch.empty(1, 1, 1, 64, dtype=FP8, device="meta")
    with pytest.raises(InputError, match="q: expected fp8 on sm_89 or later, got sm_86"):
        attention_launches(q, q, q, arch=86)
    attention_launches(q, q, q, arch=89)


def test_scales_and_an_output_dtype_are_for_fp8() -> None:
    q = torch.empty(1, 1, 1, 64, dtype=torch.float16, device="meta")
    given: list[dict[str, Any]] = [{"q_scale": 2.0}, {"k_scale": 2.0}, {"v_scale": 2.0}, {"out_dtype": torch.float16}]
    for options in given:
        with pytest.raises(InputError, match=r"expected with fp8 alone, got torch\.float16 q"):
            attention_launches(q, q, q, **options)


def test_refuses_an_output_in_fp8() -> None:
    q = torch.empty(1, 1, 1, 64, dtype=FP8, device="meta")
    with pytest.raises(InputError, match="out_dtype: expected float16 or bfloat16 or float32, got torch"):
        attention_launches(q, q, q, arch=90, out_dtype=FP8)

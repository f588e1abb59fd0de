"""The interpreter computes what a GPU would, once corrected."""

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor

LOW = {"bfloat16": torch.bfloat16, "float8_e4m3fn": torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2}
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is what the interpreter stands in for")


@triton.jit
def _cast_kernel(x_ptr, y_ptr, N: tl.constexpr):  # fmt: skip
    n = tl.arange(0, N)
    tl.store(y_ptr + n, tl.load(x_ptr + n).to(y_ptr.dtype.element_ty))


@triton.jit
def _dot_kernel(a_ptr, b_ptr, c_ptr, N: tl.constexpr):  # fmt: skip
    n = tl.arange(0, N)
    square = n[:, None] * N + n[None, :]
    tl.store(c_ptr + square, tl.dot(tl.load(a_ptr + square), tl.load(b_ptr + square)))


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    y = torch.zeros(x.shape, dtype=dtype)
    _cast_kernel[(1,)](x, y, N=x.numel())
    return y


@pytest.mark.parametrize("low", LOW.values(), ids=LOW)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_casts_round_to_nearest_even_and_back(low: torch.dtype, scale: float, device: str) -> None:
    x = torch.randn(4096) * scale
    limit = torch.finfo(low).max
    expected = x.clamp(-limit, limit).to(low)
    assert torch.equal(cast(x, low).float(), expected.float())
    assert torch.equal(cast(expected, torch.float32), expected.float())


def test_ties_go_to_even(device: str) -> None:
    x = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 1.0, 0.0, -0.0, 1.97, 3.0])
    assert torch.equal(cast(x, torch.bfloat16), x.bfloat16())
    assert torch.equal(cast(x, torch.float8_e4m3fn).float(), x.to(torch.float8_e4m3fn).float())


@pytest.mark.parametrize("low", [torch.float16, *LOW.values()], ids=["float16", *LOW])
def test_dot_multiplies_values(low: torch.dtype, device: str) -> None:
    a, b = (torch.randn(32, 32).to(low) for _ in range(2))
    c = torch.zeros(32, 32)
    _dot_kernel[(1,)](a, b, c, N=32)
    torch.testing.assert_close(c, a.float() @ b.float())

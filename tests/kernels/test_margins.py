"""What kernel tests rely on: reads outside a tensor are NaN, writes outside are found."""

import pytest
import torch
import triton
import triton.language as tl
from testing import Margins, guarded

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.uint8]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_is_uninitialised_is_nan(dtype: torch.dtype, device: str) -> None:
    x = torch.empty(3, 5, dtype=dtype, device=device)
    assert (x.float().isnan() if dtype.is_floating_point else x == 255).all()


@pytest.mark.parametrize("offset", [-1, 15])
def test_a_write_out_of_bounds_is_found(offset: int) -> None:
    margins = Margins()
    x = margins.around(torch.zeros(3, 5))
    x.copy_(torch.ones(3, 5))
    margins.check()
    x.as_strided((1,), (1,), x.storage_offset() + offset).fill_(1)
    with pytest.raises(AssertionError, match="out of bounds"):
        margins.check()


def test_a_guarded_copy_keeps_values_and_strides() -> None:
    x = torch.randn(4, 6).T
    y = guarded(x)
    assert torch.equal(x, y) and x.stride() == y.stride()
    assert y.as_strided((1,), (1,), y.storage_offset() - 1).isnan()


@triton.jit
def _sum_kernel(x_ptr, y_ptr, N, BLOCK: tl.constexpr):
    n = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + n, mask=n < N, other=0.0)
    tl.store(y_ptr + n, x, mask=n < 3)


@pytest.mark.parametrize("N", [3, 4, 16])
def test_a_read_out_of_bounds_is_found_where_no_result_shows_it(N: int, device: str) -> None:
    x, y = guarded(torch.ones(3, device=device)), torch.empty(3, device=device)
    if N > 3 and device == "cpu":
        with pytest.raises(Exception, match="read out of bounds"):
            _sum_kernel[(1,)](x, y, N, BLOCK=16)
    else:
        _sum_kernel[(1,)](x, y, N, BLOCK=16)
        assert y.tolist() == [1, 1, 1]

"""What kernel tests rely on: reads outside a tensor are NaN, writes outside are found."""

import pytest
import torch
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

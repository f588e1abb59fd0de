import pytest
import torch
from testing import assert_as_good_as, guarded

from fewstep.errors import InputError
from fewstep.kernels.ada_norm import Norm, ada_norm, ada_norm_ref

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SHAPES = [(1, 1, 1), (2, 7, 64), (3, 5, 100), (1, 3, 3072)]


@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("B", "N", "D"), SHAPES, ids=str)
def test_modulates(B: int, N: int, D: int, dtype: torch.dtype, norm: Norm, device: str) -> None:
    x = guarded(torch.randn(B, N, D, device=device, dtype=dtype) + 1)  # a mean, or a lost mask goes unseen
    scale, shift = torch.randn(2, B, D, device=device, dtype=dtype)
    truth = ada_norm_ref(x.double(), scale.double(), shift.double(), norm=norm)
    got = ada_norm(x, scale, shift, norm=norm)
    assert_as_good_as(got, ada_norm_ref(x, scale, shift, norm=norm), truth)


def test_takes_strided_views_and_modulation_of_each_token(device: str) -> None:
    x = torch.randn(2, 6, 16, device=device)[:, ::2]
    scale, shift = torch.randn(2, 3, 32, device=device).chunk(2, dim=-1)
    torch.testing.assert_close(ada_norm(x, scale, shift), ada_norm_ref(x, scale, shift))


def test_refuses_wrong_shapes(device: str) -> None:
    x = torch.randn(2, 3, 8, device=device)
    with pytest.raises(InputError, match=r"shift: expected shape \(2, 8\), got \(2, 7\)"):
        ada_norm(x, torch.randn(2, 8, device=device), torch.randn(2, 7, device=device))

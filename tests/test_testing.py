import pytest
import torch
from testing import assert_as_good_as


def test_the_policy_takes_what_pytorch_does_and_refuses_four_times_worse() -> None:
    truth = torch.linspace(-3, 3, 101, dtype=torch.float64)
    eager = truth.half()
    assert_as_good_as(eager.clone(), eager, truth)
    with pytest.raises(AssertionError, match="max error"):
        assert_as_good_as(eager + 0.02, eager, truth)
    with pytest.raises(AssertionError, match="rms error"):
        assert_as_good_as(eager + 0.0045, eager, truth)
    with pytest.raises(AssertionError):
        assert_as_good_as(torch.full_like(eager, torch.nan), eager, truth)


def test_uninitialised_memory_is_nan_in_kernel_tests(device: str) -> None:
    x = torch.zeros(3, device=device)
    for made in (torch.empty(2, 3, device=device), torch.empty_like(x), x.new_empty(4)):
        assert made.isnan().all()
    assert torch.empty(2, dtype=torch.int64).dtype == torch.int64

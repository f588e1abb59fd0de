import math

import pytest
import torch
from torch import Tensor

from fewstep.profile.accuracy import error, outputs, truth


def scaled(x: Tensor) -> Tensor:
    return x * 0.1


def test_errors_are_relative_to_the_rms_of_what_is_exact() -> None:
    exact = [torch.tensor([3.0, 5.0]).double()]  # rms sqrt(17)
    found = error([torch.tensor([3.0, 4.0])], exact)
    assert found.max == pytest.approx(1 / math.sqrt(17)) and found.rms == pytest.approx(math.sqrt(0.5 / 17))
    assert error([torch.tensor([math.nan, 5.0])], exact).max == math.inf


def test_errors_are_over_all_outputs() -> None:
    exact = [torch.ones(3).double(), torch.ones(1).double()]
    assert error([torch.ones(3), torch.zeros(1)], exact) == error([torch.tensor([1.0, 1, 1, 0])], [torch.ones(4)])


def test_another_shape_is_no_error_to_be_measured() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(3,\), got \(1,\)"):
        error([torch.ones(1)], [torch.ones(3)])


def test_the_truth_is_in_double_and_the_yardstick_in_the_inputs_dtype() -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)).half()
    found = truth(scaled, {"x": x})
    assert found is not None and found.exact[0].dtype == torch.float64
    assert torch.equal(found.exact[0], x.double() * 0.1)
    assert found.eager == error([scaled(x)], found.exact) and 1e-5 < found.eager.rms < 1e-3
    assert found.ulp == pytest.approx(2**-10 * float(x.abs().max() / x.float().square().mean().sqrt()), rel=1e-3)


def test_what_is_accepted_errs_little_more_than_pytorch() -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)).half()
    found = truth(scaled, {"x": x})
    assert found is not None and found.accepts(found.eager)
    assert found.accepts(found.error([scaled(x.float())]))
    assert not found.accepts(found.error([(scaled(x).float() + 0.01).half()]))
    worst = scaled(x).clone()
    worst[7] += 0.05
    assert not found.accepts(found.error([worst]))
    assert not found.accepts(found.error([torch.full_like(x, math.nan)]))


def test_what_draws_has_no_truth_and_what_errs_much_still_has() -> None:
    def draws(x: Tensor) -> Tensor:
        return x + torch.randn_like(x)

    def overflows(x: Tensor) -> Tensor:
        return x * 60000 * 60000

    x = torch.ones(100).half()
    assert truth(draws, {"x": x}) is None
    assert truth(overflows, {"x": x}) is not None


def test_a_reference_may_return_more_than_is_asked_for() -> None:
    found = truth(lambda x: (x, x + 1), {"x": torch.ones(3)})
    assert found is not None and found.error([torch.ones(3)]).max == 0


def test_outputs_and_inputs_may_be_nested_or_absent() -> None:
    x = torch.ones(2)
    assert outputs(x) == [x] and outputs((x, None, x)) == [x, x] and outputs(None) == []
    found = truth(lambda pair, n, flag: (pair[0] + pair[1], n), {"pair": (x, x), "n": torch.arange(2), "flag": None})
    assert found is not None and found.exact[0].dtype == torch.float64 and found.exact[1].dtype == torch.int64

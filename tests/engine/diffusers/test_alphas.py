"""diffusers' float32 levels, computed without torch."""

from typing import Any

import diffusers
import numpy as np
import pytest
from numpy.typing import NDArray

from fewstep.engine.diffusers.alphas import alphas_cumprod
from fewstep.errors import InputError

BETAS = [(0.00085, 0.012), (0.0001, 0.02)]


def reference(**settings: object) -> NDArray[np.float32]:
    scheduler: Any = diffusers.DDPMScheduler
    levels: NDArray[np.float32] = scheduler(**settings).alphas_cumprod.numpy()
    return levels


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2", "laplace"])
@pytest.mark.parametrize("T", [2, 40, 999, 1000])
@pytest.mark.parametrize(("start", "end"), BETAS)
def test_levels_are_equal_bit_for_bit(schedule: str, T: int, start: float, end: float) -> None:
    expected = reference(num_train_timesteps=T, beta_start=start, beta_end=end, beta_schedule=schedule)
    np.testing.assert_array_equal(alphas_cumprod(schedule, start, end, T), expected.astype(np.float64))


@pytest.mark.parametrize(("start", "end"), BETAS)
def test_sigmoid_levels_are_equal_to_rounding(start: float, end: float) -> None:
    expected = reference(beta_start=start, beta_end=end, beta_schedule="sigmoid")
    np.testing.assert_allclose(alphas_cumprod("sigmoid", start, end, 1000), expected, rtol=5e-7)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_zero_snr_levels_are_equal_to_rounding_and_end_at_zero(schedule: str) -> None:
    expected = reference(beta_schedule=schedule, rescale_betas_zero_snr=True)
    levels = alphas_cumprod(schedule, 0.0001, 0.02, 1000, None, True)
    np.testing.assert_allclose(levels, expected, rtol=5e-6, atol=0)
    assert levels[-1] == expected[-1] == 0


def test_levels_are_read_only_and_kept() -> None:
    levels = alphas_cumprod("linear", 0.0001, 0.02, 1000)
    assert levels is alphas_cumprod("linear", 0.0001, 0.02, 1000)
    with pytest.raises(ValueError, match="read-only"):
        levels[0] = 1.0


def test_unknown_beta_schedule_is_refused() -> None:
    with pytest.raises(InputError, match="squaredcos_cap_v2"):
        alphas_cumprod("cosine", 0.0001, 0.02, 1000)

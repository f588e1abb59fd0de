"""Where a picture joins the loop, whichever sampler's it is."""

from typing import Any

import numpy as np
import pytest

from fewstep.engine.checks import Array
from fewstep.engine.picture_levels import first_levels, kept_levels
from fewstep.engine.sampling import sample
from fewstep.engine.schedule import SAMPLERS, Schedule, schedule
from fewstep.engine.start import Start
from fewstep.errors import ContractError

NOISE, PICTURE, *DRAWS = np.random.default_rng(3).normal(size=(12, 2, 3, 4, 4))
ONES = np.ones((2, 1, 4, 4))


def made(table: Schedule, **pictures: Any) -> Array:
    return sample(table, lambda u, tau: np.tanh(u) + np.cos(tau), NOISE, lambda i: DRAWS[i], **pictures)


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_a_mask_keeps_is_the_picture_to_the_bit(name: str) -> None:
    table = schedule(name, 4)
    assert np.array_equal(made(table, latents=PICTURE, mask=0 * ONES), table.out_scale * PICTURE)
    half = ONES * [0, 1, 0, 1]
    found = made(table, latents=PICTURE, mask=half)
    assert np.array_equal(found[..., ::2], (table.out_scale * PICTURE)[..., ::2])


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_mask_of_all_that_begins_at_the_first_row_forgets_the_picture(name: str) -> None:
    table = schedule(name, 4)
    assert np.array_equal(made(table, latents=PICTURE, mask=ONES), made(table))


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_first_state_is_the_picture_with_the_noise_of_its_row(name: str) -> None:
    table = schedule(name, 4)
    for first in np.flatnonzero(table.e == 0).tolist():
        alpha, sigma = first_levels(table, first, picture=True, masked=False)
        assert (alpha, sigma) == (table.alpha[first], table.sigma[first])
        states: list[Array] = []

        def network(u: Array, tau: float, states: list[Array] = states) -> Array:
            states.append(u)
            return np.tanh(u)

        sample(table, network, NOISE, lambda i: DRAWS[i], latents=PICTURE, first=first)
        assert len(states) == len(table) - first
        np.testing.assert_allclose(states[0], table.s_in[first] * (alpha * PICTURE + sigma * NOISE), rtol=1e-12)


def test_levels_fall_to_the_picture() -> None:
    table = schedule("flow-euler", 4)
    levels = [first_levels(table, 0, picture=True, masked=False), *(kept_levels(table, i) for i in range(4))]
    assert levels == [(0.0, 1.0), (0.25, 0.75), (0.5, 0.5), (0.75, 0.25), (1.0, 0.0)]
    assert first_levels(schedule("euler", 1), 0, picture=False, masked=False)[0] == 0


@pytest.mark.parametrize(("name", "first"), [("flow-heun", 1), ("dpmpp-2m", 1), ("lcm", 4), ("lcm", -1)])
def test_rows_that_cannot_be_the_first_are_refused(name: str, first: int) -> None:
    with pytest.raises(ContractError, match=r"row"):
        made(schedule(name, 4), latents=PICTURE, first=first)


def test_a_start_of_one_image() -> None:
    start = Start(latents=PICTURE.astype(np.float32), mask=ONES.astype(np.float32), first=2)
    one = start.of(1)
    assert one.latents is not None and np.array_equal(one.latents[0], PICTURE[1].astype(np.float32))
    assert one.mask is not None and one.mask.shape == (1, 1, 4, 4) and one.first == 2 and one.noise is None
    with pytest.raises(AssertionError):
        Start(first=1)

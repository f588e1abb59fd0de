"""Ancestral Euler: SDXL-Turbo in diffusers, and the schedule of Stability AI's own turbo demo (arXiv:2311.17042)."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from fewstep.engine.checks import Array, real, refuse
from fewstep.engine.levels import TrainingOptions, alphas_cumprod, sigma_grid, ve
from fewstep.engine.prediction import ve_estimate
from fewstep.engine.samplers.euler import initial, ve_scale
from fewstep.engine.step import assemble, transition
from fewstep.engine.table import Schedule
from fewstep.engine.times import given_or_spaced, step_count

DEMO_TIMES = (999, 899, 799, 699)


def euler_ancestral(
    steps: int,
    *,
    timestep_spacing: str = "trailing",
    steps_offset: int = 0,
    prediction_type: str = "epsilon",
    **training: Unpack[TrainingOptions],
) -> Schedule:
    """EulerAncestralDiscreteScheduler: sigma_up = sigma' sqrt(1 - (sigma'/sigma)^2); always draws."""
    grid = sigma_grid(alphas_cumprod(**training))
    t = given_or_spaced(steps, len(grid), None, timestep_spacing, steps_offset)
    sigma = np.append(np.interp(t, np.arange(len(grid)), grid), 0.0)
    return _ancestral("euler-ancestral", t, sigma, initial(sigma, timestep_spacing), prediction_type, 1.0)


def add_demo(
    steps: int,
    *,
    timesteps: Sequence[float] | None = None,
    eta: float = 1.0,
    prediction_type: str = "epsilon",
    **training: Unpack[TrainingOptions],
) -> Schedule:
    """Stability AI's scripts/demo/turbo.py: times 999, 899, 799, 699, started at sqrt(1 + sigma^2), ancestral.

    For more than one step this is another schedule than diffusers' for the same models.
    """
    grid = sigma_grid(alphas_cumprod(**training))
    if timesteps is None:
        N = step_count(steps, len(DEMO_TIMES), "the demo's times; give `timesteps` for others")
        timesteps = DEMO_TIMES[:N]
        if len(grid) <= DEMO_TIMES[0]:
            raise refuse("num_train_timesteps", "1000 or more, unless `timesteps` are given", len(grid))
    t = given_or_spaced(steps, len(grid), timesteps, "trailing", 0)
    sigma = np.append(np.interp(t, np.arange(len(grid)), grid), 0.0)
    return _ancestral("add-demo", t, sigma, initial(sigma, "leading"), prediction_type, real("eta", eta, 0, 1))


def _ancestral(name: str, t: Array, sigma: Array, init: float, prediction_type: str, eta: float) -> Schedule:
    now, to = sigma[:-1], sigma[1:]
    up = np.minimum(to, eta * np.sqrt(to**2 * (now**2 - to**2) / now**2))
    step = transition(ve_estimate(prediction_type, now), ve(now), ve(to), up)
    return assemble(name, t, ve(now), step, draws=True, s_in=ve_scale(now), init=init)

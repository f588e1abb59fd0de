"""Euler steps in sigma on x = x_0 + sigma eps: SD-Turbo (arXiv:2311.17042), SDXL-Lightning (arXiv:2402.13929)."""

import math
from collections.abc import Sequence
from typing import Unpack

import numpy as np

from fewstep.engine.checks import Array, choice, descending, flag, real
from fewstep.engine.levels import TrainingOptions, alphas_cumprod, sigma_grid, ve
from fewstep.engine.prediction import ve_estimate
from fewstep.engine.step import assemble, transition
from fewstep.engine.table import Schedule
from fewstep.engine.times import exponential, given_or_spaced, karras, step_count, time_of_sigma
from fewstep.errors import InputError


def euler(
    steps: int,
    *,
    timesteps: Sequence[float] | None = None,
    sigmas: Sequence[float] | None = None,
    timestep_spacing: str = "trailing",
    steps_offset: int = 0,
    prediction_type: str = "epsilon",
    use_karras_sigmas: bool = False,
    use_exponential_sigmas: bool = False,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    final_sigmas_type: str = "zero",
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
    **training: Unpack[TrainingOptions],
) -> Schedule:
    """EulerDiscreteScheduler.

    Give at most one of timesteps (N of them), sigmas (N + 1, the last one included), use_karras_sigmas and
    use_exponential_sigmas (between sigma_max and sigma_min, by default those of the spaced times). s_churn adds noise,
    after the network's call, to steps whose sigma is in [s_tmin, s_tmax] (algorithm 2 of arXiv:2206.00364).
    """
    grid = sigma_grid(alphas_cumprod(**training))
    families = (flag("use_karras_sigmas", use_karras_sigmas), flag("use_exponential_sigmas", use_exponential_sigmas))
    if sum((timesteps is not None, sigmas is not None, *families)) > 1:
        raise InputError(
            "expected at most one of timesteps, sigmas, use_karras_sigmas, use_exponential_sigmas, got more"
        )
    last = 0.0 if choice("final_sigmas_type", final_sigmas_type, ("zero", "sigma_min")) == "zero" else float(grid[0])
    if sigmas is not None:
        N = step_count(steps, len(grid), "the training times")
        sigma = descending("sigmas", sigmas, N + 1, 0, math.inf)
        t = time_of_sigma(sigma[:-1], grid)
    else:
        t = given_or_spaced(steps, len(grid), timesteps, timestep_spacing, steps_offset)
        sigma = np.interp(t, np.arange(len(grid)), grid)
        if any(families):
            top = float(sigma[0]) if sigma_max is None else real("sigma_max", sigma_max, 0, above=True)
            bottom = float(sigma[-1]) if sigma_min is None else real("sigma_min", sigma_min, 0, top, above=True)
            sigma = karras(top, bottom, np.linspace(0, 1, len(t))) if families[0] else exponential(top, bottom, len(t))
            t = time_of_sigma(sigma, grid)
        sigma = np.append(sigma, last)

    gamma = min(real("s_churn", s_churn, 0) / len(t), math.sqrt(2) - 1)
    highest = s_tmax if s_tmax == math.inf else real("s_tmax", s_tmax, 0)
    now = sigma[:-1]
    churned = (real("s_tmin", s_tmin, 0) <= now) & (now <= highest) & (gamma > 0)
    hat = np.where(churned, now * (1 + gamma), now)
    x_0 = ve_estimate(prediction_type, hat if prediction_type == "epsilon" else now)
    step = transition(x_0, ve(hat), ve(sigma[1:]), 0.0)
    added = real("s_noise", s_noise, 0) * np.sqrt(hat**2 - now**2)
    step = step._replace(c=step.a * added)
    return assemble("euler", t, ve(now), step, draws=churned, s_in=ve_scale(now), init=initial(sigma, timestep_spacing))


def ve_scale(sigma: Array) -> Array:
    """What brings x = x_0 + sigma eps to the variance the network was trained with."""
    scale: Array = 1 / np.sqrt(sigma**2 + 1)
    return scale


def initial(sigma: Array, timestep_spacing: str) -> float:
    """The standard deviation of the first state, which in diffusers hangs on the spacing."""
    return float(sigma[0]) if timestep_spacing in ("linspace", "trailing") else math.hypot(float(sigma[0]), 1)

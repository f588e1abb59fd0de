"""Consistency trajectory models (arXiv:2310.02279) as in sony/ctm's karras_diffusion.py."""

import math

import numpy as np

from fewstep.engine.checks import real
from fewstep.engine.levels import ve
from fewstep.engine.samplers.cm import log_time
from fewstep.engine.step import Estimate, assemble, transition
from fewstep.engine.table import Schedule
from fewstep.engine.times import karras, step_count


def ctm(
    steps: int,
    *,
    gamma: float = 0.0,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    sigma_data: float = 0.5,
    rho: float = 7.0,
) -> Schedule:
    """G = (s/t) x + (1 - s/t) (c_skip x + c_out F), EDM's scalings; tau is 250 ln t, target 250 ln s.

    gamma = 0 is the exact sampler: s is the next of N + 1 Karras levels. Otherwise, between steps, s is below it,
    s = sqrt(1 - gamma^2) (t' - sigma_min) + sigma_min, and fresh noise leads back up: gamma-sampling.
    """
    N = step_count(steps, 1000, "a few-step sampler")
    g = real("gamma", gamma, 0, 1)
    smin = real("sigma_min", sigma_min, 0, above=True)
    smax = real("sigma_max", sigma_max, smin, above=True)
    sd = real("sigma_data", sigma_data, 0, above=True)
    level = karras(smax, smin, np.linspace(0, 1, N + 1), real("rho", rho, 0, above=True))
    t, to = level[:-1], level[1:]
    s = np.where(np.arange(N) < N - 1, math.sqrt(1 - g**2) * (to - smin) + smin, to)
    fresh = np.sqrt(np.maximum(to**2 - s**2, 0)) * (g > 0)
    x_0 = Estimate(sd**2 / (t**2 + sd**2), sd * t / np.sqrt(t**2 + sd**2))
    step = transition(x_0, ve(t), ve(to), fresh)
    draws = (np.arange(N) < N - 1) & (g > 0)
    s_in = 1 / np.sqrt(t**2 + sd**2)
    return assemble("ctm", log_time(t), ve(t), step, draws=draws, s_in=s_in, init=smax, target=log_time(s))

"""Consistency models (arXiv:2303.01469) as in CMStochasticIterativeScheduler and OpenAI's karras_diffusion.py."""

from collections.abc import Sequence

import numpy as np

from fewstep.engine.checks import Array, descending_whole, flag, real, whole
from fewstep.engine.levels import ve
from fewstep.engine.step import Estimate, assemble, transition
from fewstep.engine.table import Schedule
from fewstep.engine.times import karras, step_count


def cm(
    steps: int,
    *,
    timesteps: Sequence[int] | None = None,
    num_train_timesteps: int = 40,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    sigma_data: float = 0.5,
    rho: float = 7.0,
    s_noise: float = 1.0,
    clip_denoised: bool = True,
) -> Schedule:
    """f = c_skip x + c_out F, clamped to [-1, 1], plus noise up to the next level.

    num_train_timesteps: 40 for the distilled models, 201 for ct_imagenet64, 151 for ct_bedroom256 and ct_cat256.
    timesteps: N indices into the Karras grid, descending as in diffusers, yet index 0 is the noisiest level and is
    sampled first: [22, 0] is 80, then 1.38. Default 0, T // N, 2 (T // N), ...
    The last step of more than one draws noise, as the reference does, and multiplies it by 0.
    """
    T = whole("num_train_timesteps", num_train_timesteps, 2, 10**6)
    smin = real("sigma_min", sigma_min, 0, above=True)
    smax = real("sigma_max", sigma_max, smin, above=True)
    sd = real("sigma_data", sigma_data, 0, above=True)
    N = step_count(steps, T, "num_train_timesteps")
    index = np.arange(N, dtype=np.float64) * (T // N)
    if timesteps is not None:
        index = descending_whole("timesteps", timesteps, N, 0, T - 1)[::-1]
    sigma = karras(smax, smin, index / (T - 1), real("rho", rho, 0, above=True))
    x_0 = boundary(sigma, smin, sd, 1.0 if flag("clip_denoised", clip_denoised) else np.inf)
    # float rounding of the grid's end may leave sigma'^2 - sigma_min^2 below 0
    added = np.sqrt(np.maximum(np.append(sigma[1:], smin) ** 2 - smin**2, 0))
    step = transition(x_0, ve(sigma), ve(added), added)
    step = step._replace(c=step.c * real("s_noise", s_noise, 0))
    s_in = 1 / np.sqrt(sigma**2 + sd**2)
    return assemble("cm", log_time(sigma), ve(sigma), step, draws=N > 1, s_in=s_in, init=smax)


def boundary(sigma: Array, sigma_min: float, sigma_data: float, r: float) -> Estimate:
    """f(x, sigma_min) = x; c_out's root holds sigma^2, not (sigma - sigma_min)^2, in the authors' code."""
    over = sigma - sigma_min
    c_skip = sigma_data**2 / (over**2 + sigma_data**2)
    return Estimate(c_skip, over * sigma_data / np.sqrt(sigma**2 + sigma_data**2), r)


def log_time(sigma: Array) -> Array:
    """The time these networks take, 250 ln sigma: below 0 where sigma < 1."""
    tau: Array = 250 * np.log(sigma + 1e-44)
    return tau

"""DDIM (arXiv:2010.02502), Hyper-SD's N-step sampler, and DDPM (arXiv:2006.11239)."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from fewstep.engine.checks import Array, choice, descending_whole, flag, real
from fewstep.engine.levels import TrainingOptions, alphas_cumprod, vp
from fewstep.engine.prediction import clamp_range, vp_estimate
from fewstep.engine.step import assemble, transition
from fewstep.engine.table import Schedule
from fewstep.engine.times import given_or_spaced, step_count


def ddim(
    steps: int,
    *,
    eta: float = 0.0,
    timestep_spacing: str = "trailing",
    steps_offset: int = 0,
    set_alpha_to_one: bool = False,
    prediction_type: str = "epsilon",
    clip_sample: bool = False,
    clip_sample_range: float = 1.0,
    use_clipped_model_output: bool = False,
    **training: Unpack[TrainingOptions],
) -> Schedule:
    """DDIMScheduler. The time stepped to is t - T // N, as there, which may miss the next time of the list by one.

    eta scales the noise (eq. 16); if it is not 0 every step draws, the last one too. set_alpha_to_one: the result is
    x_0, else it is the state at time 0.
    """
    stochasticity = real("eta", eta, 0, 1)
    abar = alphas_cumprod(**training)
    t = np.round(given_or_spaced(steps, len(abar), None, timestep_spacing, steps_offset)).astype(int)
    to = t - len(abar) // len(t)
    final = 1.0 if flag("set_alpha_to_one", set_alpha_to_one) else abar[0]
    at, at_to = abar[t], np.where(to >= 0, abar[np.maximum(to, 0)], final)
    r = clamp_range(clip_sample, clip_sample_range)
    now = vp(at)
    c = stochasticity * posterior_std(at, at_to)
    of_clamped = flag("use_clipped_model_output", use_clipped_model_output) and clip_sample
    step = transition(vp_estimate(prediction_type, now, r), now, vp(at_to), c, eps_of_clamped=of_clamped)
    return assemble("ddim", t.astype(np.float64), now, step, draws=stochasticity > 0)


def ddpm(
    steps: int,
    *,
    timesteps: Sequence[int] | None = None,
    timestep_spacing: str = "trailing",
    steps_offset: int = 0,
    variance_type: str = "fixed_small",
    prediction_type: str = "epsilon",
    clip_sample: bool = False,
    clip_sample_range: float = 1.0,
    **training: Unpack[TrainingOptions],
) -> Schedule:
    """DDPMScheduler: the posterior q(x_t' | x_t, x_0) of eq. 7, with its variance or (fixed_large) beta.

    Its variance is at least 1e-20, so the last step adds noise of 1e-10; it draws wherever t > 0.
    """
    abar = alphas_cumprod(**training)
    if timesteps is not None:
        t = descending_whole(
            "timesteps", timesteps, step_count(steps, len(abar), "the training times"), 0, len(abar) - 1
        )
    else:
        t = np.round(given_or_spaced(steps, len(abar), None, timestep_spacing, steps_offset))
    at = abar[t.astype(int)]
    at_to = np.append(at[1:], 1.0)
    kind = choice("variance_type", variance_type, ("fixed_small", "fixed_small_log", "fixed_large"))
    r = clamp_range(clip_sample, clip_sample_range)
    now = vp(at)
    std = posterior_std(at, at_to)
    step = transition(vp_estimate(prediction_type, now, r), now, vp(at_to), std, eps_of_clamped=clip_sample)
    added = np.sqrt(1 - at / at_to) if kind == "fixed_large" else np.maximum(std, 1e-10)
    return assemble("ddpm", t, now, step._replace(c=added * (t > 0)), draws=t > 0)


def posterior_std(at: Array, at_to: Array) -> Array:
    """The standard deviation of q(x_t' | x_t, x_0) between two levels abar."""
    std: Array = np.sqrt((1 - at_to) / (1 - at) * (1 - at / at_to))
    return std

"""Latent consistency models (arXiv:2310.04378) and DMD2 (arXiv:2405.14867): x_0, then fresh noise to the next time."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from fewstep.engine.checks import Array, descending_whole, real, refuse, whole
from fewstep.engine.levels import TrainingOptions, alphas_cumprod, vp
from fewstep.engine.prediction import clamp_range, vp_estimate
from fewstep.engine.step import Estimate, Levels, assemble, transition
from fewstep.engine.table import Schedule
from fewstep.engine.times import step_count

SIGMA_DATA = 0.5
DMD2_TIMES = {1: (399,), 4: (999, 749, 499, 249)}


def distillation_times(steps: object, T: int, timesteps: object, original_inference_steps: object) -> Array:
    """N of the times k-1, 2k-1, ... with k = T // original, taken at floor(linspace(0, original, N)) from the top."""
    original = whole("original_inference_steps", original_inference_steps, 1, T)
    if timesteps is not None:
        return descending_whole("timesteps", timesteps, step_count(steps, T, "the training times"), 0, T - 1)
    N = step_count(steps, original, "original_inference_steps")
    grid = np.arange(original, 0, -1.0) * (T // original) - 1
    times: Array = grid[np.floor(np.linspace(0, original, N, endpoint=False)).astype(int)]
    return times


def lcm(
    steps: int,
    *,
    timesteps: Sequence[int] | None = None,
    original_inference_steps: int = 50,
    prediction_type: str = "epsilon",
    clip_sample: bool = False,
    clip_sample_range: float = 1.0,
    timestep_scaling: float = 10.0,
    **training: Unpack[TrainingOptions],
) -> Schedule:
    """LCMScheduler: the boundary scalings c_skip, c_out on x_0, re-noised, and x_0 itself at the end."""
    return _lcm(
        "lcm",
        steps,
        timesteps,
        original_inference_steps,
        prediction_type,
        clamp_range(clip_sample, clip_sample_range),
        real("timestep_scaling", timestep_scaling, 0, above=True),
        alphas_cumprod(**training),
    )


def dmd2(
    steps: int,
    *,
    timesteps: Sequence[int] | None = None,
    prediction_type: str = "epsilon",
    timestep_scaling: float = 10.0,
    **training: Unpack[TrainingOptions],
) -> Schedule:
    """LCM at DMD2's times for 4 steps or 1; the one step is at 399, yet starts from pure unit noise."""
    abar = alphas_cumprod(**training)
    if timesteps is None:
        N = step_count(steps, 4, "DMD2's own times; give `timesteps` for others")
        if N not in DMD2_TIMES:
            raise refuse("steps", "1 or 4, which DMD2 is distilled for, or else `timesteps` too", N)
        timesteps = DMD2_TIMES[N]
    scaling = real("timestep_scaling", timestep_scaling, 0, above=True)
    return _lcm("dmd2", steps, timesteps, 1, prediction_type, np.inf, scaling, abar)


def _lcm(
    name: str,
    steps: object,
    timesteps: object,
    original: object,
    prediction_type: str,
    r: float,
    scaling: float,
    abar: Array,
) -> Schedule:
    t = distillation_times(steps, len(abar), timesteps, original)
    at = vp(abar[t.astype(int)])
    to = Levels(np.append(at.alpha[1:], 1.0), np.append(at.sigma[1:], 0.0))
    raw = vp_estimate(prediction_type, at, r)
    scaled = t * scaling
    c_skip, c_out = (SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2), scaled / np.sqrt(scaled**2 + SIGMA_DATA**2))
    x_0 = Estimate(raw.p, raw.q, r, c_skip, c_out)
    return assemble(name, t, at, transition(x_0, at, to, to.sigma), draws=to.sigma > 0)

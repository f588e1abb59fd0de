"""DPM-Solver++ of first and second order, multistep (arXiv:2211.01095, algorithm 2)."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from fewstep.engine.checks import Array, choice, descending_whole, flag, whole
from fewstep.engine.levels import TrainingOptions, alphas_cumprod, sigma_grid, vp_of_sigma
from fewstep.engine.prediction import vp_estimate
from fewstep.engine.step import assemble, transition
from fewstep.engine.table import Schedule
from fewstep.engine.times import SPACINGS, spaced, step_count


def dpmpp_2m(
    steps: int,
    *,
    timesteps: Sequence[int] | None = None,
    timestep_spacing: str = "linspace",
    steps_offset: int = 0,
    prediction_type: str = "epsilon",
    solver_order: int = 2,
    solver_type: str = "midpoint",
    lower_order_final: bool = True,
    euler_at_final: bool = False,
    final_sigmas_type: str = "zero",
    **training: Unpack[TrainingOptions],
) -> Schedule:
    """DPMSolverMultistepScheduler with algorithm dpmsolver++; the estimate of the step before is the history h.

    The first step is of first order, and so is the last if it ends at sigma = 0, if euler_at_final, or, below 15 steps,
    if lower_order_final.
    """
    grid = sigma_grid(alphas_cumprod(**training))
    T = len(grid)
    choice("timestep_spacing", timestep_spacing, SPACINGS)
    N = step_count(steps, T - 1, "the training times, without the last")
    if timesteps is not None:
        t = descending_whole("timesteps", timesteps, N, 0, T - 1)
    elif timestep_spacing == "trailing":
        t = spaced("trailing", N, T)
    else:
        t = np.round(spaced(timestep_spacing, N + 1, T, steps_offset)[:-1])
    ends_at_zero = choice("final_sigmas_type", final_sigmas_type, ("zero", "sigma_min")) == "zero"
    sigma = np.append(grid[t.astype(int)], 0.0 if ends_at_zero else grid[0])
    now, to = vp_of_sigma(sigma[:-1]), vp_of_sigma(sigma[1:])
    step = transition(vp_estimate(prediction_type, now), now, to, 0.0, eps_of_clamped=True)

    early = flag("lower_order_final", lower_order_final) and N < 15
    second = np.full(N, whole("solver_order", solver_order, 1, 2) == 2)
    second[0] = False
    second[-1] &= not (flag("euler_at_final", euler_at_final) or early or ends_at_zero)
    w = _second_order(
        sigma, to.alpha, np.asarray(step.d), choice("solver_type", solver_type, ("midpoint", "heun")), second
    )
    return assemble("dpmpp-2m", t, now, step._replace(d=step.d + w, e=-w), draws=False)


def _second_order(sigma: Array, alpha_to: Array, K: Array, solver_type: str, where: Array) -> Array:
    """The weight w of the correction w (y - h), 0 where the step is of first order; K = alpha' (1 - exp(-step))."""
    w = np.zeros(len(K))
    for i in np.flatnonzero(where):
        step, before = np.log(sigma[i] / sigma[i + 1]), np.log(sigma[i - 1] / sigma[i])
        r_0 = before / step
        w[i] = K[i] / (2 * r_0) if solver_type == "midpoint" else (alpha_to[i] - K[i] / step) / r_0
    return w

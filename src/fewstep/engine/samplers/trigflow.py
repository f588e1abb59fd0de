"""TrigFlow, x = cos(t) x_0 + sin(t) sigma_data z: sCM (arXiv:2410.11081) and SANA-Sprint (arXiv:2503.09641)."""

import math
from collections.abc import Sequence

import numpy as np

from fewstep.engine.checks import Array, descending, real, refuse
from fewstep.engine.levels import flow, trig
from fewstep.engine.prediction import flow_estimate, trig_estimate
from fewstep.engine.step import assemble, transition
from fewstep.engine.table import Schedule
from fewstep.engine.times import down_to_zero, step_count

MOST_STEPS = 1000


def trigflow(
    steps: int,
    *,
    times: Sequence[float] | None = None,
    sigma_data: float = 0.5,
    noise_fraction: float = 1.0,
    out_scale: float = 1.0,
) -> Schedule:
    """x_0 = cos(t) x - sin(t) sigma_data F, with F of the input x / sigma_data at the angle t, which is tau.

    times: N angles falling from at most pi/2; the end at 0 is implied; default N even steps from pi/2.
    noise_fraction: the share of the noise that is fresh after a step; 1 is multistep consistency sampling, 0 is
    deterministic DDIM, and nothing is drawn then, nor at the last step.
    """
    N = step_count(steps, MOST_STEPS, "a few-step sampler")
    sd = real("sigma_data", sigma_data, 0, above=True)
    fraction = real("noise_fraction", noise_fraction, 0, 1)
    t = np.linspace(math.pi / 2, 0, N + 1)
    if times is not None:
        # float32 rounds pi/2 up by 4e-8
        t = down_to_zero(times, N, np.nextafter(np.float32(math.pi / 2), np.float32(2)))
    now, to = trig(t[:-1], sd), trig(t[1:], sd)
    step = transition(trig_estimate(t[:-1], sd), now, to, fraction * to.sigma)
    draws = np.asarray(step.c) > 0
    return assemble("trigflow", t[:-1], now, step, draws=draws, s_in=1 / sd, init=sd, out_scale=out_scale)


def scm(
    steps: int,
    *,
    timesteps: Sequence[float] | None = None,
    max_timesteps: float = 1.5708,
    intermediate_timesteps: float | str | None = "default",
    sigma_data: float = 0.5,
) -> Schedule:
    """SCMScheduler: m is sigma_data F already, the result is divided by sigma_data, and even the last step draws."""
    t = scm_times(steps, timesteps, max_timesteps, intermediate_timesteps)
    sd = real("sigma_data", sigma_data, 0, above=True)
    now, to = trig(t[:-1], sd), trig(t[1:], sd)
    step = transition(trig_estimate(t[:-1], 1.0), now, to, to.sigma)
    return assemble("scm", t[:-1], now, step, draws=True, s_in=1 / sd, init=sd, out_scale=1 / sd)


def sana_sprint(
    steps: int,
    *,
    timesteps: Sequence[float] | None = None,
    max_timesteps: float = 1.5708,
    intermediate_timesteps: float | str | None = "default",
) -> Schedule:
    """SANA-Sprint's network in SCMScheduler, collapsed to stochastic flow at s = sin t / (sin t + cos t), its time.

    The pipeline scales r = 1 / (sin t + cos t) in and out of each call; in the units u = r x / sigma_data all of that
    cancels, as do sigma_data and the angles.
    """
    t = scm_times(steps, timesteps, max_timesteps, intermediate_timesteps)
    r = 1 / (np.sin(t) + np.cos(t))
    s = np.sin(t) * r
    now = flow(s[:-1])
    step = transition(flow_estimate(s[:-1]), now, flow(s[1:]), s[1:])
    return assemble("sana-sprint", s[:-1], now, step, draws=True, init=float(r[0]))


def scm_times(steps: object, timesteps: object, max_timesteps: object, intermediate: float | str | None) -> Array:
    """N + 1 angles: given; or, with 2 steps, by way of the intermediate one (default 1.3); or even to 0."""
    N = step_count(steps, MOST_STEPS, "a few-step sampler")
    if timesteps is not None:
        return descending("timesteps", timesteps, N + 1, 0, 1.5709)
    top = real("max_timesteps", max_timesteps, 0, 1.5709, above=True)
    if intermediate == "default":
        intermediate = 1.3 if N == 2 else None
    if intermediate is None:
        return np.linspace(top, 0, N + 1)
    if N != 2:
        raise refuse("intermediate_timesteps", f"None unless there are 2 steps (there are {N})", intermediate)
    return descending("max_timesteps, intermediate_timesteps, 0", [top, intermediate, 0.0], 3, 0, 1.5709)

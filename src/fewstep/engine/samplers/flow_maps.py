"""Networks that predict the average velocity of a jump: MeanFlow (arXiv:2505.13447), shortcut models (2410.12557)."""

from collections.abc import Sequence

import numpy as np

from fewstep.engine.checks import refuse
from fewstep.engine.levels import flow
from fewstep.engine.prediction import flow_estimate
from fewstep.engine.step import Estimate, assemble, transition
from fewstep.engine.table import Schedule
from fewstep.engine.times import down_to_zero, step_count

FINEST_SHORTCUT = 128


def meanflow(steps: int, *, times: Sequence[float] | None = None) -> Schedule:
    """x' = x - (t - r) u(x, t, r) from t = 1, noise, to 0; tau is t and target is r. Some networks take t - r instead.

    times: N of them, falling from at most 1; the end at 0 is implied; default N even steps.
    """
    N = step_count(steps, 1000, "a few-step sampler")
    t = np.linspace(1, 0, N + 1)
    if times is not None:
        t = down_to_zero(times, N)
    step = transition(flow_estimate(t[:-1]), flow(t[:-1]), flow(t[1:]), 0.0)
    return assemble("meanflow", t[:-1], flow(t[:-1]), step, draws=False, target=t[1:])


def shortcut(steps: int) -> Schedule:
    """x' = x + v / N with time from 0, noise, to 1; tau is t and target t + 1/N; the network takes t and log2 N.

    steps: a power of two, as only those are trained.
    """
    N = step_count(steps, FINEST_SHORTCUT, "the finest step trained")
    if N & (N - 1):
        raise refuse("steps", "a power of two, as shortcut models are trained on no others", N)
    t = np.arange(N + 1) / N
    s = 1 - t
    step = transition(Estimate(1.0, s[:-1]), flow(s[:-1]), flow(s[1:]), 0.0)
    return assemble("shortcut", t[:-1], flow(s[:-1]), step, draws=False, target=t[1:])

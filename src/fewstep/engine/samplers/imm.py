"""Inductive moment matching (arXiv:2503.07565): pushforward and restart samplers of lumalabs/imm."""

from collections.abc import Sequence

import numpy as np

from fewstep.engine.checks import choice, flag, real
from fewstep.engine.levels import flow
from fewstep.engine.step import Estimate, Levels, assemble, transition
from fewstep.engine.table import Schedule
from fewstep.engine.times import down_to_zero, step_count


def imm(
    steps: int,
    *,
    parameterization: str = "euler_fm",
    restart: bool = False,
    times: Sequence[float] | None = None,
    sigma_data: float = 0.5,
) -> Schedule:
    """From t = 0.994 of x = (1 - t) x_0 + t sigma_data z; tau is 1000 t and target 1000 s.

    parameterization: euler_fm is x_s = x - (t - s) sigma_data F; simple_edm is the DDIM step of an EDM-scaled F.
    restart: jump to 0 every time and add fresh noise up to the next time, between steps.
    times: N of them, falling; the end at 0 is implied; default even steps.
    """
    N = step_count(steps, 1000, "a few-step sampler")
    kind = choice("parameterization", parameterization, ("euler_fm", "simple_edm"))
    again = flag("restart", restart)
    sd = real("sigma_data", sigma_data, 0, above=True)
    t = np.linspace(0.994, 0, N + 1)
    if times is not None:
        t = down_to_zero(times, N)
    alpha, s = flow(t)
    now, to = Levels(alpha[:-1], sd * s[:-1]), Levels(alpha[1:], sd * s[1:])
    square = alpha[:-1] ** 2 + s[:-1] ** 2
    x_0 = Estimate(1.0, -sd * s[:-1])
    if kind == "simple_edm":
        x_0 = Estimate(alpha[:-1] / square, -sd * s[:-1] / np.sqrt(square))
    step = transition(x_0, now, to, to.sigma if again else 0.0)
    target = np.zeros(N) if again else 1000 * t[1:]
    s_in = 1 / (sd * np.sqrt(square))
    return assemble("imm", 1000 * t[:-1], now, step, draws=(t[1:] > 0) & again, s_in=s_in, init=sd, target=target)

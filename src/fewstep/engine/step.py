"""The three-ingredient generator: levels, an estimate of x_0 and a share of fresh noise give a step's coefficients.

With x = alpha x_0 + sigma eps, k = sqrt(sigma'^2 - c^2) and z new unit noise, every first-order few-step sampler is

    x' = alpha' x_0 + k eps + c z          eps = (x - alpha x_0) / sigma

c = 0 is deterministic (DDIM, eq. 12 of arXiv:2010.02502 with zero variance), c = sigma' forgets eps (consistency
models, algorithm 1 of arXiv:2303.01469), and ancestral samplers lie between.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.checks import Array
from fewstep.engine.table import Schedule


class Levels(NamedTuple):
    """Signal alpha and noise sigma of x = alpha x_0 + sigma eps; each (N,), at N times."""

    alpha: Array
    sigma: Array


@dataclass(frozen=True)
class Estimate:
    """x_0 = skip*x + out*clamp(p*x + q*m, -r, r); each a number or (N,)."""

    p: Array | float
    q: Array | float
    r: float = np.inf
    skip: Array | float = 0.0
    out: Array | float = 1.0


class Coefficients(NamedTuple):
    """The columns a step is made of; each a number or (N,)."""

    a: Array | float
    b: Array | float
    c: Array | float
    p: Array | float = 0.0
    q: Array | float = 0.0
    d: Array | float = 0.0
    e: Array | float = 0.0
    r: Array | float = np.inf


def transition(
    x_0: Estimate, now: Levels, to: Levels, c: Array | float, *, eps_of_clamped: bool = False
) -> Coefficients:
    """The step from levels `now` to levels `to` with fresh noise of standard deviation c, 0 <= c <= sigma'.

    eps_of_clamped: eps comes from the clamped x_0 rather than from the network's output, which keeps y in the update
    even where nothing is clamped.
    """
    k = np.sqrt(np.maximum(to.sigma**2 - np.square(c), 0)) / now.sigma
    p, q = x_0.skip + x_0.out * x_0.p, x_0.out * x_0.q
    if eps_of_clamped:
        keep = to.alpha - k * now.alpha
        return Coefficients(keep * x_0.skip + k, 0.0, c, x_0.p, x_0.q, keep * x_0.out, 0.0, x_0.r)
    a, b = k * (1 - now.alpha * p), -k * now.alpha * q
    if np.isinf(x_0.r):
        return Coefficients(to.alpha * p + a, to.alpha * q + b, c)
    return Coefficients(to.alpha * x_0.skip + a, b, c, x_0.p, x_0.q, to.alpha * x_0.out, 0.0, x_0.r)


def assemble(
    name: str,
    tau: Array,
    now: Levels,
    step: Coefficients,
    *,
    draws: NDArray[np.bool_] | bool,
    s_in: Array | float = 1.0,
    init: float = 1.0,
    out_scale: float = 1.0,
    target: Array | float = np.nan,
) -> Schedule:
    """The Schedule of N steps; numbers stand for constant columns. now: the levels that the steps leave."""
    N = len(tau)
    columns = (np.broadcast_to(np.asarray(v, np.float64), N) for v in (s_in, *step, draws, target, *now))
    return Schedule(name, float(init), float(out_scale), tau, *columns)

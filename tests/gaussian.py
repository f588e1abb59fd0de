"""Gaussian data N(MU, STD^2), whose denoiser, posterior and probability-flow map are known, and exact random states.

A state is the vector of its coefficients on (1, w_0, w_1, ...), the w independent unit normals: affine networks act on
it exactly, so a whole sampler's mean and variance come out without sampling. Then each sampler family's levels as a
function of tau, and what its network must answer for a given x_0.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType

import numpy as np

from fewstep.engine.checks import Array
from fewstep.engine.table import Schedule

MU, STD = 0.7, 0.4
SOURCES = 64


def unit(i: int) -> Array:
    state = np.zeros(SOURCES)
    state[i] = 1
    return state


ONE, START = unit(0), unit(1)


def mean_and_variance(state: Array) -> tuple[float, float]:
    return float(state[0]), float(state[1:] @ state[1:])


@dataclass
class Level:
    """x = alpha x_0 + sigma eps."""

    alpha: float
    sigma: float

    @property
    def variance(self) -> float:
        return self.alpha**2 * STD**2 + self.sigma**2

    def denoised(self, x: Array) -> Array:
        """E[x_0 | x]."""
        return MU * ONE + self.alpha * STD**2 / self.variance * (x - self.alpha * MU * ONE)

    def moved(self, x: Array, to: "Level") -> Array:
        """The probability-flow ODE from here to there: the linear map between the two Gaussians."""
        return to.alpha * MU * ONE + math.sqrt(to.variance / self.variance) * (x - self.alpha * MU * ONE)

    def posterior_std(self) -> float:
        return STD * self.sigma / math.sqrt(self.variance)


Raw = Callable[[Level, float, Array, Array], Array]


def raw_eps(level: Level, tau: float, x: Array, x_0: Array) -> Array:
    return (x - level.alpha * x_0) / level.sigma


def raw_v(level: Level, tau: float, x: Array, x_0: Array) -> Array:
    """alpha eps - sigma x_0, of the variance-preserving state."""
    scale = math.hypot(level.alpha, level.sigma)
    return (level.alpha * raw_eps(level, tau, x, x_0) - level.sigma * x_0) / scale


def raw_sample(level: Level, tau: float, x: Array, x_0: Array) -> Array:
    return x_0


def raw_velocity(level: Level, tau: float, x: Array, x_0: Array) -> Array:
    return raw_eps(level, tau, x, x_0) - x_0


@dataclass
class Network:
    """answer(x, tau[, target]) of the state x rather than of the scaled input u. Keeps the states it saw."""

    table: Schedule
    answer: Callable[..., Array]
    seen: list[Array] = field(default_factory=list)

    def __call__(self, u: Array, *times: float) -> Array:
        x = u / self.table.s_in[len(self.seen)]
        self.seen.append(x)
        return self.answer(x, *times)


def posterior_noise(i: int) -> Array:
    """The network's own noise at step i."""
    return unit(2 + 2 * i)


def fresh(i: int) -> Array:
    """The z_i of step i, independent of all else."""
    return unit(3 + 2 * i)


def exact_start(table: Schedule, level: Level) -> Array:
    """The `noise` that makes init * noise the exact marginal of the first level."""
    return (level.alpha * MU * ONE + math.sqrt(level.variance) * START) / table.init


BETAS = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2


@functools.cache
def abar(t: float) -> float:
    return math.prod(float(1 - beta) for beta in BETAS[: round(t) + 1])


def vp(t: float) -> Level:
    return Level(math.sqrt(abar(t)), math.sqrt(1 - abar(t)))


def ve(t: float) -> Level:
    return Level(1.0, math.sqrt(1 / abar(t) - 1))


def flow(tau: float) -> Level:
    return Level(1 - tau / 1000, tau / 1000)


def flow_to_data(tau: float) -> Level:
    return Level(tau / 1000, 1 - tau / 1000)


def sana(s: float) -> Level:
    return Level(1 - s, s)


def trig(t: float) -> Level:
    return Level(math.cos(t), 0.5 * math.sin(t))


def karras(tau: float) -> Level:
    return Level(1.0, math.exp(tau / 250))


def imm(tau: float) -> Level:
    return Level(1 - tau / 1000, 0.5 * tau / 1000)


def shortcut(t: float) -> Level:
    return Level(t, 1 - t)


def ddgan(steps: int) -> Callable[[float], Level]:
    def level(tau: float) -> Level:
        def log_abar(j: float) -> float:
            t = j / steps * (1 - 1e-3) + 1e-3
            return -(t**2) * (20 - 0.1) / 2 - t * 0.1

        bar = math.exp(log_abar(tau + 1) - log_abar(0))
        return Level(math.sqrt(bar), math.sqrt(1 - bar))

    return level


def raw_F(level: Level, tau: float, x: Array, x_0: Array) -> Array:
    """TrigFlow's F with sigma_data = 0.5."""
    return (math.cos(tau) * x - x_0) / (0.5 * math.sin(tau))


def raw_scaled_F(level: Level, tau: float, x: Array, x_0: Array) -> Array:
    return 0.5 * raw_F(level, tau, x, x_0)


def raw_lcm(level: Level, tau: float, x: Array, x_0: Array) -> Array:
    """eps such that c_skip x + c_out (x_0 of eps) is x_0."""
    root = math.hypot(10 * tau, 0.5)
    return raw_eps(level, tau, x, (x_0 - (0.5 / root) ** 2 * x) / (10 * tau / root))


def raw_cm(level: Level, tau: float, x: Array, x_0: Array) -> Array:
    over = level.sigma - 0.002
    return (x_0 - 0.25 / (over**2 + 0.25) * x) * math.hypot(level.sigma, 0.5) / (0.5 * over)


def raw_edm(level: Level, tau: float, x: Array, x_0: Array) -> Array:
    square = level.sigma**2 + 0.25
    return (x_0 - 0.25 / square * x) * math.sqrt(square) / (0.5 * level.sigma)


def raw_imm(level: Level, tau: float, x: Array, x_0: Array) -> Array:
    return (x - x_0) / level.sigma


def raw_imm_edm(level: Level, tau: float, x: Array, x_0: Array) -> Array:
    square = level.alpha**2 + (level.sigma / 0.5) ** 2
    return (level.alpha / square * x - x_0) * math.sqrt(square) / level.sigma


def raw_to_data(level: Level, tau: float, x: Array, x_0: Array) -> Array:
    return -raw_velocity(level, tau, x, x_0)


X_0 = Level(1.0, 0.0)
T_0 = vp(0)


def label(value: object) -> str:
    """A test's name for a value: functions by name alone, as their addresses differ from process to process."""
    return value.__name__ if isinstance(value, FunctionType) else repr(value)

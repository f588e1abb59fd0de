"""Rectified flow: FLUX.1-schnell, SD3.5-turbo, Z-Image-Turbo, Qwen-Image-Lightning; state x = (1 - s) x_0 + s z."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np

from fewstep.engine.checks import Array, choice, descending, flag, real, refuse, whole
from fewstep.engine.levels import flow
from fewstep.engine.prediction import flow_estimate
from fewstep.engine.step import Estimate, assemble, transition
from fewstep.engine.table import Schedule
from fewstep.engine.times import exponential, karras, step_count


class FlowOptions(TypedDict, total=False):
    """Where the noise levels of a flow lie, as in FlowMatchEulerDiscreteScheduler."""

    sigmas: Sequence[float] | None
    timesteps: Sequence[float] | None
    timestep_spacing: str
    shift: float
    mu: float | None
    time_shift_type: str
    shift_terminal: float | None
    use_karras_sigmas: bool
    use_exponential_sigmas: bool
    num_train_timesteps: int
    to_data: bool


@dataclass(frozen=True)
class FlowGrid:
    """N + 1 noise levels s falling to 0 and the network's times tau; m is direction * (z - x_0)."""

    s: Array
    tau: Array
    direction: float

    @property
    def x_0(self) -> Estimate:
        raw = flow_estimate(self.s[:-1])
        return Estimate(raw.p, self.direction * raw.q)


def flow_grid(
    steps: object,
    *,
    sigmas: Sequence[float] | None = None,
    timesteps: Sequence[float] | None = None,
    timestep_spacing: str = "trailing",
    shift: float = 1.0,
    mu: float | None = None,
    time_shift_type: str = "exponential",
    shift_terminal: float | None = None,
    use_karras_sigmas: bool = False,
    use_exponential_sigmas: bool = False,
    num_train_timesteps: int = 1000,
    to_data: bool = False,
) -> FlowGrid:
    """Base levels, then one shift: by k = shift, or with mu by k = exp(mu) (exponential) or mu (linear).

    sigmas: N base levels; timesteps: N times T * s, which the network sees as they are. Without either, trailing is
    linspace(1, 1/N, N), as the pipelines of FLUX, Qwen-Image and Z-Image pass, and linspace goes down to the
    scheduler's smallest level, which is already shifted once when there is no mu, as SD3's pipeline leaves it.
    to_data: the network takes the time T * (1 - s) and predicts x_0 - z (Z-Image).
    """
    T = whole("num_train_timesteps", num_train_timesteps, 2, 10**6)
    k = real("shift", shift, 0, above=True)
    kind = choice("time_shift_type", time_shift_type, ("exponential", "linear"))
    spacing = choice("timestep_spacing", timestep_spacing, ("trailing", "linspace"))
    if mu is not None:
        k = math.exp(real("mu", mu, -50, 50)) if kind == "exponential" else real("mu", mu, 0, above=True)
    N = step_count(steps, T, "the training times")
    if sigmas is not None:
        base = descending("sigmas", sigmas, N, 0, 1)
    elif timesteps is not None:
        base = descending("timesteps", timesteps, N, 0, T) / T
    elif spacing == "trailing":
        base = np.linspace(1, 1 / N, N)
    else:
        base = np.linspace(1, shifted(np.array([1 / T]), k if mu is None else 1.0)[0], N)
    if base[-1] == 0:
        raise refuse("sigmas or timesteps", "levels above 0, as the end at 0 is implied", base.tolist())
    s = shifted(base, k)
    if shift_terminal is not None:
        if s[-1] == 1:
            raise refuse("shift_terminal", "None where the last level is 1, as with 1 step", shift_terminal)
        s = 1 - (1 - s) * (1 - real("shift_terminal", shift_terminal, 0, 1, above=True)) / (1 - s[-1])
    if flag("use_karras_sigmas", use_karras_sigmas):
        s = karras(s[0], s[-1], np.linspace(0, 1, N))
    elif flag("use_exponential_sigmas", use_exponential_sigmas):
        s = exponential(s[0], s[-1], N)
    s = np.append(s, 0.0)
    reverse = flag("to_data", to_data)
    tau = T * (1 - s if reverse else s)
    if timesteps is not None and not reverse:
        tau[:-1] = descending("timesteps", timesteps, N, 0, T)
    return FlowGrid(s, tau, -1.0 if reverse else 1.0)


def shifted(s: Array, k: float) -> Array:
    """k s / (1 + (k - 1) s): the levels of a picture k^2 times as large (arXiv:2403.03206, eq. 23)."""
    return k * s / (1 + (k - 1) * s)


def flow_euler(steps: int, **options: Unpack[FlowOptions]) -> Schedule:
    """FlowMatchEulerDiscreteScheduler: x' = x + (s' - s) m."""
    return _flow_euler("flow-euler", flow_grid(steps, **options), two_times=False)


def flow_map_euler(steps: int, **options: Unpack[FlowOptions]) -> Schedule:
    """FlowMapEulerDiscreteScheduler: flow Euler for a network that is also told where the step goes."""
    return _flow_euler("flow-map-euler", flow_grid(steps, **options), two_times=True)


def _flow_euler(name: str, grid: FlowGrid, *, two_times: bool) -> Schedule:
    now = flow(grid.s[:-1])
    step = transition(grid.x_0, now, flow(grid.s[1:]), 0.0)
    return assemble(name, grid.tau[:-1], now, step, draws=False, target=grid.tau[1:] if two_times else np.nan)


def flow_stochastic(steps: int, **options: Unpack[FlowOptions]) -> Schedule:
    """FlowMatchLCMScheduler, and FlowMatchEulerDiscreteScheduler's stochastic_sampling; always draws."""
    grid = flow_grid(steps, **options)
    now = flow(grid.s[:-1])
    step = transition(grid.x_0, now, flow(grid.s[1:]), grid.s[1:])
    return assemble("flow-stochastic", grid.tau[:-1], now, step, draws=True)

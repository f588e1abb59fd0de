"""Runs a diffusers scheduler and a Schedule on the same network, noise and generator, and measures how they part."""

import copy
import importlib
import inspect
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from fewstep.engine.schedule import Schedule, sample

SHAPE = (2, 4, 6, 6)
SEED = 20240917
TOLERANCE = 5e-6
COEFFICIENTS = ("s_in", "a", "b", "c", "p", "q", "d", "e", "r")


@dataclass(frozen=True)
class Case:
    """A scheduler's configuration, with the arguments of its `set_timesteps` and of its `step`.

    float64_scalars: diffusers uses its float32 levels in float64, for where 1 - abar / abar' cancels. huge_state: allow
    four float32 ulps of the largest state; from sigma in the thousands diffusers makes a result of order one.
    """

    config: Mapping[str, Any]
    steps: int | None
    set_options: Mapping[str, Any] = field(default_factory=dict)
    step_options: Mapping[str, Any] = field(default_factory=dict)
    float64_scalars: bool = False
    huge_state: bool = False

    def schedule(self) -> Schedule:
        return Schedule.from_diffusers(dict(self.config), self.steps, **self.set_options, **self.step_options)


@dataclass(frozen=True)
class Step:
    """What diffusers did in one step: network input u at tau, output m, states x and x_next, noise z if any."""

    tau: float
    u: torch.Tensor
    m: torch.Tensor
    x: torch.Tensor
    x_next: torch.Tensor
    z: torch.Tensor | None


@dataclass(frozen=True)
class Reference:
    """A whole run of diffusers; out is what a pipeline would hand to the decoder. allowance: of absolute error."""

    steps: list[Step]
    out: torch.Tensor
    generator_state: torch.Tensor
    allowance: float


class Network:
    """A fixed random two-layer convolution with a smooth dependence on time; float32, outputs of order one."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(SEED)
        self.inward = torch.randn(8, SHAPE[1], 3, 3, generator=generator) / 6
        self.outward = torch.randn(SHAPE[1], 8, 3, 3, generator=generator) / 4
        self.phase = torch.rand(8, generator=generator) * 2 * math.pi

    def __call__(self, u: torch.Tensor, tau: float) -> torch.Tensor:
        bias = torch.sin(self.phase + 0.003 * float(tau))
        hidden = torch.nn.functional.conv2d(u, self.inward, bias, padding=1)
        return torch.nn.functional.conv2d(torch.tanh(hidden), self.outward, padding=1)


NETWORK = Network()


def initial_noise() -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(SEED + 1))


def step_generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED + 2)


def scheduler_for(case: Case) -> Any:
    """The diffusers scheduler, its times set. A missing step count is taken from the custom list, as diffusers does."""
    cls = getattr(importlib.import_module("diffusers"), case.config["_class_name"])
    steps = {} if case.steps is None else {"num_inference_steps": case.steps}
    with warnings.catch_warnings():
        # np.array(tensor) in diffusers, which NumPy 2 frowns upon
        warnings.simplefilter("ignore", DeprecationWarning)
        scheduler = cls.from_config(dict(case.config))
        scheduler.set_timesteps(**steps, **case.set_options)
    if case.float64_scalars:
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
        scheduler.final_alpha_cumprod = scheduler.final_alpha_cumprod.double()
    return scheduler


def run_diffusers(case: Case) -> Reference:
    """The loop of every pipeline, each step recorded. That of SCM keeps its state in units of sigma_data."""
    scheduler = scheduler_for(case)
    is_scm = case.config["_class_name"] == "SCMScheduler"
    unit = scheduler.config.sigma_data if is_scm else 1.0
    ends_at_zero = case.config["_class_name"] in ("SCMScheduler", "LTXEulerAncestralRFScheduler")
    timesteps = scheduler.timesteps[: scheduler.num_inference_steps] if ends_at_zero else scheduler.timesteps
    generator = step_generator()
    x = initial_noise() * getattr(scheduler, "init_noise_sigma", 1.0) * unit
    steps = []
    for t in timesteps:
        u = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        u = u / unit
        m = NETWORK(u, float(t))
        before = generator.get_state()
        x_next = scheduler.step(m, t, x, **generator_argument(scheduler, generator), **case.step_options).prev_sample
        z = None
        if not torch.equal(before, generator.get_state()):
            replay = torch.Generator()
            replay.set_state(before)
            z = torch.randn(SHAPE, generator=replay)
            assert torch.equal(replay.get_state(), generator.get_state()), (
                "diffusers drew something other than one tensor"
            )
        steps.append(Step(float(t), u, m, x, x_next, z))
        x = x_next
    largest = np.float32(max(_peak(step.x) for step in steps))
    allowance = 4 * float(np.spacing(largest)) if case.huge_state else 0.0
    return Reference(steps, x / unit, generator.get_state(), allowance)


def generator_argument(scheduler: Any, generator: torch.Generator) -> dict[str, torch.Generator]:
    return {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}


def relative_error(ours: torch.Tensor, theirs: torch.Tensor, allowance: float = 0.0) -> float:
    """Largest difference, less an absolute allowance, over the largest magnitude; infinite where not finite."""
    if not (torch.isfinite(ours).all() and torch.isfinite(theirs).all()):
        return math.inf
    return max(float((ours - theirs).abs().max()) - allowance, 0.0) / _peak(theirs)


def trajectory_error(schedule: Schedule, reference: Reference) -> float:
    """Error of the whole run; infinite when the random numbers were not consumed identically."""
    generator = step_generator()

    def draw(step: int) -> torch.Tensor:
        return torch.randn(SHAPE, generator=generator)

    out = sample(schedule, NETWORK, initial_noise(), draw)
    if not torch.equal(generator.get_state(), reference.generator_state):
        return math.inf
    return relative_error(out, reference.out, reference.allowance)


def step_errors(schedule: Schedule, reference: Reference) -> list[float]:
    """Error of each step from diffusers' own state (teacher forcing), over time, network input, draw and next state."""
    if len(schedule.tau) != len(reference.steps):
        return [math.inf]
    return [max(errors.values()) for errors in _errors_by_step(schedule, reference)]


def _errors_by_step(schedule: Schedule, reference: Reference) -> Iterator[dict[str, float]]:
    h = torch.zeros(SHAPE)
    for i, step in enumerate(reference.steps):
        y = torch.clamp(schedule.p[i] * step.x + schedule.q[i] * step.m, -schedule.r[i], schedule.r[i])
        x = schedule.a[i] * step.x + schedule.b[i] * step.m + schedule.d[i] * y + schedule.e[i] * h
        if step.z is not None:
            x = x + schedule.c[i] * step.z
        yield {
            "tau": abs(schedule.tau[i] - step.tau) / max(1.0, abs(step.tau)),
            "u": relative_error(schedule.s_in[i] * step.x, step.u),
            "draw": 0.0 if bool(schedule.draws[i]) == (step.z is not None) else math.inf,
            "x": relative_error(x, step.x_next, reference.allowance),
        }
        h = y


def level_error(schedule: Schedule, case: Case) -> float:
    """Error of a picture with noise added, at every step; 0 for schedulers that know no such thing."""
    scheduler, noise = scheduler_for(case), initial_noise()
    x_0 = noise.flip(0).tanh()
    errors = [0.0]
    for t, alpha, sigma in zip(scheduler.timesteps, schedule.alpha, schedule.sigma, strict=False):
        scheduler._step_index = None  # Heun's keeps that of the first time it meets
        if hasattr(scheduler, "scale_noise"):
            noised = scheduler.scale_noise(x_0, t[None], noise)
        elif hasattr(scheduler, "add_noise"):
            noised = scheduler.add_noise(x_0, noise, t[None])
        else:
            return 0.0
        errors.append(relative_error(float(alpha) * x_0 + float(sigma) * noise, noised))
    return max(errors)


def check(case: Case, tolerance: float = TOLERANCE) -> None:
    """Asserts parity of the table with diffusers, step by step and as a whole."""
    schedule, reference = case.schedule(), run_diffusers(case)
    error = level_error(schedule, case)
    assert error <= tolerance, f"{case}: error of the levels {error:.2e}\n{schedule}"
    errors = step_errors(schedule, reference)
    assert max(errors) <= tolerance, f"{case}: step errors {errors}\n{schedule}"
    error = trajectory_error(schedule, reference)
    assert error <= tolerance, f"{case}: trajectory error {error:.2e}\n{schedule}"


def mutants(schedule: Schedule, reference: Reference, factor: float) -> Iterator[tuple[str, int, Schedule]]:
    """(column, step, schedule) with one coefficient times factor, for each whose term is over 1% of the result."""
    size = {"h": 0.0}
    for i, step in enumerate(reference.steps):
        raw = schedule.p[i] * step.x + schedule.q[i] * step.m
        y = torch.clamp(raw, -schedule.r[i], schedule.r[i])
        open_ = raw.abs() < schedule.r[i]
        follows = abs(schedule.e[i + 1]) if i + 1 < len(reference.steps) else 0.0
        size.update(
            s_in=_peak(step.u),
            a=abs(schedule.a[i]) * _peak(step.x),
            b=abs(schedule.b[i]) * _peak(step.m),
            c=abs(schedule.c[i]) * _peak(step.z) if step.z is not None else 0.0,
            p=max(abs(schedule.d[i]), follows) * abs(schedule.p[i]) * _peak(step.x * open_),
            q=max(abs(schedule.d[i]), follows) * abs(schedule.q[i]) * _peak(step.m * open_),
            d=abs(schedule.d[i]) * _peak(y),
            e=abs(schedule.e[i]) * size["h"],
            r=0.0 if math.isinf(schedule.r[i]) or bool(open_.all()) else abs(schedule.d[i] * schedule.r[i]),
        )
        size["h"] = _peak(y)
        for name in COEFFICIENTS:
            if size[name] > 0.01 * _peak(step.u if name == "s_in" else step.x_next):
                values = getattr(schedule, name).copy()
                values[i] *= factor
                yield name, i, _with(schedule, name, values)


def _peak(tensor: torch.Tensor) -> float:
    return float(tensor.abs().max())


def _with(schedule: Schedule, name: str, values: Any) -> Schedule:
    changed = copy.copy(schedule)
    object.__setattr__(changed, name, values)
    return changed

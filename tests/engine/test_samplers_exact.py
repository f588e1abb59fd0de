"""Exact networks on Gaussian data give exact samples: flows, jumps and consistency functions."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gaussian import (
    MU,
    STD,
    T_0,
    X_0,
    Level,
    Network,
    Raw,
    exact_start,
    flow,
    fresh,
    imm,
    karras,
    label,
    mean_and_variance,
    raw_cm,
    raw_eps,
    raw_F,
    raw_lcm,
    raw_scaled_F,
    raw_v,
    raw_velocity,
    sana,
    shortcut,
    trig,
    ve,
    vp,
)

from fewstep.engine.checks import Array
from fewstep.engine.sampling import advance, sample
from fewstep.engine.schedule import schedule

DETERMINISTIC: list[tuple[str, dict[str, Any], Callable[[float], Level], Raw, int]] = [
    ("ddim", {}, vp, raw_eps, 1),
    ("tcd", {"eta": 0.0, "original_inference_steps": 1000}, vp, raw_eps, 1),
    ("euler", {}, ve, raw_eps, 1),
    ("flow-euler", {}, flow, raw_velocity, 1),
    ("flow-euler", {"shift": 3.0}, flow, raw_velocity, 1),
    ("trigflow", {"noise_fraction": 0.0}, trig, raw_F, 1),
    ("dpmpp-2m", {}, vp, raw_eps, 1),
    ("dpmpp-2m", {"solver_type": "heun", "prediction_type": "v_prediction"}, vp, raw_v, 1),
    ("flow-heun", {"timestep_spacing": "trailing"}, flow, raw_velocity, 2),
]


@pytest.mark.parametrize(("name", "options", "level", "raw", "order"), DETERMINISTIC, ids=label)
def test_deterministic_samplers_converge_to_the_exact_flow(
    name: str, options: dict[str, Any], level: Callable[[float], Level], raw: Raw, order: int
) -> None:
    """With the exact denoiser the error to the probability-flow map falls as N^-order.

    DPM-Solver++'s last step is of first order and spans an unbounded log-SNR; its second order is tested by itself.
    """

    def denoiser(x: Array, tau: float) -> Array:
        return raw(level(tau), tau, x, level(tau).denoised(x))

    errors = []
    for steps in (25, 50, 100):
        table = schedule(name, steps, **options)
        first, end = level(float(table.tau[0])), T_0 if name in ("ddim", "tcd") else X_0
        start = exact_start(table, first)
        out = sample(table, Network(table, denoiser), start, fresh)
        errors.append(np.abs(out - first.moved(table.init * start, end)).max())
    assert errors[2] < errors[1] < errors[0] < 0.1
    assert math.log2(errors[0] / errors[2]) / 2 > order - 0.35


def test_dpmpp_second_order_is_exact_for_estimates_linear_in_log_snr() -> None:
    """The solution is x' = (sigma'/sigma) x + sigma' int e^lambda x_0(lambda) dlambda, as heun has it."""
    u, v = 0.3, -0.2
    options = {"final_sigmas_type": "sigma_min", "lower_order_final": False, "prediction_type": "sample"}
    exact = schedule("dpmpp-2m", 8, solver_type="heun", **options)
    levels = [*map(vp, exact.tau), vp(0)]
    lam = [math.log(level.alpha / level.sigma) for level in levels]
    x = np.array([1.7])
    for i in range(1, 8):
        h, m = np.array([u + v * lam[i - 1]]), np.array([u + v * lam[i]])
        ratio = levels[i + 1].sigma / levels[i].sigma
        integral = [math.exp(point) * (u + v * (point - 1)) for point in (lam[i], lam[i + 1])]
        expected = ratio * x + levels[i + 1].sigma * (integral[1] - integral[0])
        np.testing.assert_allclose(advance(exact, i, x, m, h, None)[0], expected, rtol=1e-12)


def test_dpmpp_solver_types_agree_for_small_steps() -> None:
    midpoint, heun = (schedule("dpmpp-2m", 500, solver_type=kind) for kind in ("midpoint", "heun"))
    np.testing.assert_allclose(midpoint.e[100:400], heun.e[100:400], rtol=0.01)


def average_velocity(tau: float, target: float, x: Array, x_s: Array) -> Array:
    return (x - x_s) / (tau - target)


def average_flow(tau: float, target: float, x: Array, x_s: Array) -> Array:
    return 1000 * (x - x_s) / (tau - target)


def euler_fm(tau: float, target: float, x: Array, x_s: Array) -> Array:
    return 1000 * (x - x_s) / (tau - target) / 0.5


def simple_edm(tau: float, target: float, x: Array, x_s: Array) -> Array:
    t, s = tau / 1000, target / 1000
    square = (1 - t) ** 2 + t**2
    skip = ((1 - t) * (1 - s) + t * s) / square
    return (skip * x - x_s) * math.sqrt(square) / (((1 - s) * t - (1 - t) * s) * 0.5)


def trajectory(tau: float, target: float, x: Array, x_s: Array) -> Array:
    t, s = math.exp(tau / 250), math.exp(target / 250)
    g = (x_s - s / t * x) / (1 - s / t)
    return (g - 0.25 / (t**2 + 0.25) * x) * math.sqrt(t**2 + 0.25) / (0.5 * t)


JUMPS: list[tuple[str, dict[str, Any], Callable[[float], Level], Callable[..., Array]]] = [
    ("meanflow", {}, sana, average_velocity),
    ("shortcut", {}, shortcut, average_velocity),
    ("flow-map-euler", {"shift": 3.0}, flow, average_flow),
    ("imm", {}, imm, euler_fm),
    ("imm", {"parameterization": "simple_edm"}, imm, simple_edm),
    ("imm", {"restart": True}, imm, euler_fm),
    ("imm", {"parameterization": "simple_edm", "restart": True}, imm, simple_edm),
    ("ctm", {}, karras, trajectory),
    ("ctm", {"gamma": 0.5}, karras, trajectory),
    ("ctm", {"gamma": 1.0}, karras, trajectory),
]


@pytest.mark.parametrize(("name", "options", "level", "undo"), JUMPS, ids=label)
@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_two_time_networks_jump_exactly(
    name: str, options: dict[str, Any], level: Callable[[float], Level], undo: Callable[..., Array], steps: int
) -> None:
    """A network that knows the exact flow map between tau and target is integrated without error at any N."""
    table = schedule(name, steps, **options)

    def jump(x: Array, tau: float, target: float) -> Array:
        return undo(tau, target, x, level(tau).moved(x, level(target)))

    first, last = level(float(table.tau[0])), level(float(table.target[-1]))
    start = exact_start(table, first)
    out = sample(table, Network(table, jump), start, fresh, with_target=True)
    assert mean_and_variance(out) == pytest.approx((last.alpha * MU, last.variance), rel=1e-9)
    if not table.draws.any():
        np.testing.assert_allclose(out, first.moved(table.init * start, last), rtol=1e-9, atol=1e-9)


CONSISTENCY: list[tuple[str, dict[str, Any], Callable[[float], Level], Raw]] = [
    ("lcm", {}, vp, raw_lcm),
    ("lcm", {"original_inference_steps": 100}, vp, raw_lcm),
    ("scm", {}, trig, raw_scaled_F),
    ("trigflow", {}, trig, raw_F),
    ("sana-sprint", {}, sana, raw_velocity),
    ("flow-stochastic", {}, flow, raw_velocity),
    ("cm", {"clip_denoised": False}, karras, raw_cm),
]


@pytest.mark.parametrize(("name", "options", "level", "raw"), CONSISTENCY, ids=label)
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_consistency_samplers_keep_the_data_distribution(
    name: str, options: dict[str, Any], level: Callable[[float], Level], raw: Raw, steps: int
) -> None:
    """With the exact consistency function, x_0 and re-noising leave N(MU, STD^2) as it is, however many steps."""
    table = schedule(name, steps, **options)

    def consistency(x: Array, tau: float) -> Array:
        return raw(level(tau), tau, x, level(tau).moved(x, X_0))

    start = exact_start(table, level(float(table.tau[0])))
    out = sample(table, Network(table, consistency), start, fresh) / table.out_scale
    mean, variance = mean_and_variance(out)
    assert mean == pytest.approx(MU, rel=1e-9)
    assert variance == pytest.approx(STD**2, rel=1e-4 if name == "cm" else 1e-9)

"""Every first-order sampler lands on the exact marginals, whatever its share of fresh noise."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gaussian import (
    MU,
    T_0,
    X_0,
    Level,
    Network,
    Raw,
    ddgan,
    exact_start,
    flow,
    flow_to_data,
    fresh,
    imm,
    karras,
    label,
    mean_and_variance,
    posterior_noise,
    raw_cm,
    raw_edm,
    raw_eps,
    raw_F,
    raw_imm,
    raw_imm_edm,
    raw_lcm,
    raw_sample,
    raw_scaled_F,
    raw_to_data,
    raw_v,
    raw_velocity,
    sana,
    shortcut,
    trig,
    ve,
    vp,
)

from fewstep.engine.checks import Array
from fewstep.engine.sampling import sample
from fewstep.engine.schedule import schedule
from fewstep.engine.table import Schedule

FIRST_ORDER: list[tuple[str, dict[str, Any], Callable[[float], Level], Raw, Level]] = [
    ("lcm", {}, vp, raw_lcm, X_0),
    ("dmd2", {"timesteps": [900, 400, 300]}, vp, raw_lcm, X_0),
    *(("tcd", {"eta": eta}, vp, raw_eps, T_0) for eta in (0.0, 0.3, 1.0)),
    ("tcd", {"prediction_type": "v_prediction"}, vp, raw_v, T_0),
    ("tcd", {"prediction_type": "sample"}, vp, raw_sample, T_0),
    ("euler", {}, ve, raw_eps, X_0),
    ("euler", {"prediction_type": "v_prediction"}, ve, raw_v, X_0),
    ("euler", {"prediction_type": "sample"}, ve, raw_sample, X_0),
    ("euler", {"timesteps": [900, 500, 100]}, ve, raw_eps, X_0),
    ("euler", {"timestep_spacing": "leading", "steps_offset": 1}, ve, raw_eps, X_0),
    ("euler-ancestral", {}, ve, raw_eps, X_0),
    ("euler-ancestral", {"prediction_type": "v_prediction"}, ve, raw_v, X_0),
    ("add-demo", {}, ve, raw_eps, X_0),
    ("add-demo", {"eta": 0.5}, ve, raw_eps, X_0),
    *(
        ("ddpm", {"prediction_type": kind}, vp, raw, X_0)
        for kind, raw in (("epsilon", raw_eps), ("sample", raw_sample))
    ),
    ("ddpm", {"clip_sample": True, "clip_sample_range": 1e9}, vp, raw_eps, X_0),
    *(("flow-euler", options, flow, raw_velocity, X_0) for options in ({}, {"shift": 3.0}, {"mu": 1.15})),
    ("flow-euler", {"to_data": True}, flow_to_data, raw_to_data, X_0),
    ("flow-map-euler", {}, flow, raw_velocity, X_0),
    ("flow-stochastic", {}, flow, raw_velocity, X_0),
    ("flow-ancestral", {}, flow, raw_velocity, X_0),
    ("flow-ancestral", {"eta": 0.4}, flow, raw_velocity, X_0),
    ("flow-ancestral", {"eta": 0.0}, flow, raw_velocity, X_0),
    *(("trigflow", {"noise_fraction": share}, trig, raw_F, X_0) for share in (0.0, 0.5, 1.0)),
    ("scm", {}, trig, raw_scaled_F, X_0),
    ("sana-sprint", {}, sana, raw_velocity, X_0),
    ("cm", {"clip_denoised": False}, karras, raw_cm, X_0),
    ("ctm", {}, karras, raw_edm, Level(1.0, 0.002)),
    ("ctm", {"gamma": 0.6}, karras, raw_edm, Level(1.0, 0.002)),
    ("meanflow", {}, sana, raw_velocity, X_0),
    ("imm", {}, imm, raw_imm, X_0),
    ("imm", {"restart": True}, imm, raw_imm, X_0),
    ("imm", {"parameterization": "simple_edm"}, imm, raw_imm_edm, X_0),
    ("imm", {"parameterization": "simple_edm", "restart": True}, imm, raw_imm_edm, X_0),
]


@pytest.mark.parametrize(("name", "options", "level", "raw", "last"), FIRST_ORDER, ids=label)
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_every_state_has_the_exact_marginal(
    name: str, options: dict[str, Any], level: Callable[[float], Level], raw: Raw, last: Level, steps: int
) -> None:
    if "timesteps" in options and len(options["timesteps"]) != steps:
        options = {**options, "timesteps": [900, 400, 300, 200][:steps]}
    table = schedule(name, steps, **options)
    assert_exact_marginals(table, level, raw, last)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_ddgan_has_the_exact_marginals(steps: int) -> None:
    assert_exact_marginals(schedule("ddgan", steps), ddgan(steps), raw_sample, X_0)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_shortcut_has_the_exact_marginals(steps: int) -> None:
    assert_exact_marginals(schedule("shortcut", steps), shortcut, raw_to_data, X_0)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("kind", "raw"), [("epsilon", raw_eps), ("v_prediction", raw_v), ("sample", raw_sample)])
@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_ddim_has_the_exact_marginals(steps: int, kind: str, raw: Raw, eta: float) -> None:
    """For step counts whose times are T // N apart; see the traps for the others."""
    table = schedule("ddim", steps, eta=eta, prediction_type=kind)
    assert_exact_marginals(table, vp, raw, T_0)
    clipped = schedule("ddim", steps, eta=eta, prediction_type=kind, clip_sample=True, clip_sample_range=1e9)
    assert not clipped.affine
    assert_exact_marginals(clipped, vp, raw, T_0)
    again = {"clip_sample": True, "clip_sample_range": 1e9, "use_clipped_model_output": True}
    assert_exact_marginals(schedule("ddim", steps, eta=eta, prediction_type=kind, **again), vp, raw, T_0)


def assert_exact_marginals(table: Schedule, level: Callable[[float], Level], raw: Raw, last: Level) -> None:
    """Of every state, with a network that draws x_0 from its exact posterior given x.

    Then (x_0, eps) is distributed as in the forward process, so that one step of any first-order sampler, with any
    share of fresh noise, must land on the exact marginal of the next level.
    """

    def posterior_draw(x: Array, tau: float) -> Array:
        at = level(tau)
        x_0 = at.denoised(x) + at.posterior_std() * posterior_noise(len(network.seen) - 1)
        return raw(at, tau, x, x_0)

    network = Network(table, posterior_draw)
    out = sample(table, network, exact_start(table, level(float(table.tau[0]))), fresh) / table.out_scale
    levels = [*(level(float(tau)) for tau in table.tau), last]
    found = np.stack([table.alpha, table.sigma], axis=1)
    np.testing.assert_allclose(found, [(at.alpha, at.sigma) for at in levels[:-1]], rtol=1e-9, atol=1e-9)
    for state, at in zip((*network.seen, out), levels, strict=True):
        mean, variance = mean_and_variance(state)
        # CM adds noise of variance sigma'^2 - sigma_min^2, as if its x_0 had kept sigma_min^2
        assert mean == pytest.approx(at.alpha * MU, rel=1e-9, abs=1e-9)
        assert variance == pytest.approx(at.variance, rel=1e-9, abs=5e-6 if table.name == "cm" else 1e-9)


def test_the_marginal_check_can_fail() -> None:
    """A table that is 0.1 % off in one coefficient is noticed."""
    table = schedule("lcm", 3)
    with pytest.raises(AssertionError):
        assert_exact_marginals(_scaled(table, "c", 1.001), vp, raw_lcm, X_0)
    with pytest.raises(AssertionError):
        assert_exact_marginals(_scaled(table, "b", 1.001), vp, raw_lcm, X_0)


def _scaled(table: Schedule, column: str, by: float) -> Schedule:
    return dataclasses.replace(table, **{column: getattr(table, column) * by})

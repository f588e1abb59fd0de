"""Where the references of flows and jumps are not what their papers or names suggest: one test a trap."""

import math

import numpy as np
import pytest

from fewstep.engine.checks import Array
from fewstep.engine.sampling import sample
from fewstep.engine.schedule import schedule
from fewstep.errors import InputError

NOISE = np.random.default_rng(3).normal(size=(9, 3, 8, 8))


def curved(u: Array, *times: float) -> Array:
    return np.asarray(np.tanh(u) - 0.2 * u + 1e-4 * sum(times))


def draw(i: int) -> Array:
    z: Array = NOISE[1 + i]
    return z


# flows


def test_trap_sd3_pipeline_shifts_twice() -> None:
    """No sigmas are passed, so the grid ends at the already shifted smallest level, and is shifted again."""
    default = schedule("flow-euler", 4, shift=3.0, timestep_spacing="linspace").tau / 1000
    np.testing.assert_allclose(default, [1, 0.857692, 0.602151, 0.008929], atol=1e-6)
    np.testing.assert_allclose(schedule("flow-euler", 4, shift=3.0).tau / 1000, [1, 0.9, 0.75, 0.5], rtol=1e-12)


def test_trap_z_image_time_runs_to_the_data_and_the_output_is_negated() -> None:
    there = schedule("flow-euler", 4, shift=3.0)
    back = schedule("flow-euler", 4, shift=3.0, to_data=True)
    np.testing.assert_allclose(back.tau, 1000 - there.tau, atol=1e-9)
    np.testing.assert_allclose(back.b, -there.b, rtol=1e-12)
    out = sample(there, lambda u, tau: np.sin(u) + tau, NOISE[0], draw)
    same = sample(back, lambda u, tau: -np.sin(u) - (1000 - tau), NOISE[0], draw)
    np.testing.assert_allclose(out, same, rtol=1e-9)


def test_trap_z_image_nine_steps_are_nine_calls_on_another_grid() -> None:
    eight, nine = schedule("flow-euler", 8, shift=3.0), schedule("flow-euler", 9, shift=3.0)
    assert (len(eight), len(nine)) == (8, 9)
    assert not set(np.round(eight.tau[1:], 3)) & set(np.round(nine.tau[1:], 3))


def test_trap_qwen_lightning_dynamic_shift_is_a_constant_3() -> None:
    dynamic, static = schedule("flow-euler", 4, mu=math.log(3)), schedule("flow-euler", 4, shift=3.0)
    np.testing.assert_allclose(dynamic.tau, static.tau, rtol=1e-12)


def test_trap_mu_replaces_the_shift_instead_of_adding_to_it() -> None:
    assert schedule("flow-euler", 4, mu=1.15, shift=3.0) == schedule("flow-euler", 4, mu=1.15)
    linear = schedule("flow-euler", 4, mu=3.0, time_shift_type="linear")
    np.testing.assert_allclose(linear.tau, schedule("flow-euler", 4, shift=3.0).tau, rtol=1e-12)


def test_trap_shift_terminal_is_the_last_network_time() -> None:
    assert schedule("flow-euler", 4, shift=3.0, shift_terminal=0.02).tau[-1] == pytest.approx(20, rel=1e-12)


def test_trap_stochastic_flow_draws_at_its_last_step() -> None:
    assert schedule("flow-stochastic", 3).draws.all() and schedule("flow-stochastic", 3).c[-1] == 0
    assert schedule("flow-ancestral", 3).draws.tolist() == [1, 1, 0]


def test_trap_flow_heun_calls_the_network_twice_a_step_but_the_last() -> None:
    table = schedule("flow-heun", 3)
    assert len(table) == 5 and table.tau[1] == table.tau[2] and table.tau[3] == table.tau[4]


# TrigFlow


def test_trap_scm_intermediate_time_is_for_two_steps_only() -> None:
    """The pipeline's default of 1.3 fails at 1, 3 and 4 steps; ours is for two."""
    np.testing.assert_allclose(schedule("scm", 2).tau, [1.5708, 1.3])
    np.testing.assert_allclose(schedule("scm", 2, intermediate_timesteps=None).tau, [1.5708, 0.7854])
    for steps in (1, 3, 4):
        np.testing.assert_allclose(schedule("scm", steps).tau, np.linspace(1.5708, 0, steps + 1)[:-1])
        with pytest.raises(InputError, match="None unless there are 2 steps"):
            schedule("scm", steps, intermediate_timesteps=1.3)


def test_trap_scm_draws_at_its_last_step_and_trigflow_does_not() -> None:
    assert schedule("scm", 2).draws.tolist() == [1, 1] and schedule("trigflow", 2).draws.tolist() == [1, 0]


def test_trap_scm_output_is_sigma_data_times_F() -> None:
    """What enters the raw table is sigma_data F; the trigflow table takes F itself and leaves the data's scale."""
    times = [1.5, 1.1]
    scm, trigflow = schedule("scm", 2, timesteps=[*times, 0.0]), schedule("trigflow", 2, times=times)
    raw = sample(scm, lambda u, t: 0.5 * curved(u, t), NOISE[0], draw)
    np.testing.assert_allclose(raw * 0.5, sample(trigflow, curved, NOISE[0], draw), rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_trap_sana_sprint_is_stochastic_flow_in_disguise(steps: int) -> None:
    """The pipeline wraps its flow network for raw TrigFlow; the collapsed table does without, in the time s."""

    def wrapped(u: Array, t: float) -> Array:
        s = math.sin(t) / (math.sin(t) + math.cos(t))
        r = math.hypot(s, 1 - s)
        inner = r * u
        return np.asarray(0.5 * ((1 - 2 * s) * inner + r**2 * curved(inner, s)) / r)

    raw = sample(schedule("scm", steps), wrapped, NOISE[0], draw)
    collapsed = schedule("sana-sprint", steps)
    np.testing.assert_allclose(sample(collapsed, curved, NOISE[0], draw), raw, rtol=1e-9, atol=1e-9)
    assert collapsed.tau.max() == pytest.approx(1.0000037, abs=1e-7)


# GANs and flow maps


def test_trap_ddgan_products_restart_at_the_first_time() -> None:
    t = np.array([0, 0.5, 1]) * (1 - 1e-3) + 1e-3
    abar = np.exp(-(t**2) * 19.9 / 2 - 0.1 * t)
    table = schedule("ddgan", 2)
    a, a_to = abar[2] / abar[0], abar[1] / abar[0]
    assert table.b[0] == pytest.approx((1 - a / a_to) * math.sqrt(a_to) / (1 - a), rel=1e-12)
    assert table.tau.tolist() == [1, 0] and table.draws.all() and table.c[-1] == 0


def test_trap_shortcut_time_runs_from_noise_at_zero() -> None:
    table = schedule("shortcut", 4)
    np.testing.assert_allclose(table.b, 0.25, rtol=1e-15)
    assert table.tau.tolist() == [0, 0.25, 0.5, 0.75] and table.target.tolist() == [0.25, 0.5, 0.75, 1]
    with pytest.raises(InputError, match="power of two"):
        schedule("shortcut", 3)


def test_trap_meanflow_time_runs_from_noise_at_one() -> None:
    table = schedule("meanflow", 2)
    assert table.tau.tolist() == [1, 0.5] and table.target.tolist() == [0.5, 0]
    assert schedule("meanflow", 1).b.tolist() == [-1]


def test_trap_imm_starts_below_one_and_scales_its_input_by_both_levels() -> None:
    table = schedule("imm", 1)
    assert table.tau[0] == 994 and table.init == 0.5
    assert table.s_in[0] == pytest.approx(1 / (0.5 * math.hypot(0.006, 0.994)), rel=1e-12)


def test_trap_imm_restart_always_jumps_to_zero() -> None:
    table = schedule("imm", 3, restart=True)
    assert table.target.tolist() == [0, 0, 0] and table.draws.tolist() == [1, 1, 0]


def test_trap_ctm_has_one_karras_point_more_than_cm() -> None:
    """Two steps of CTM meet at 2.515, of CM at 2.240."""
    assert schedule("ctm", 2).tau[1] == pytest.approx(230.590, abs=1e-3)
    assert schedule("cm", 2).tau[1] == pytest.approx(201.668, abs=1e-3)


def test_trap_ctm_gamma_1_goes_to_sigma_min_and_back() -> None:
    table = schedule("ctm", 3, gamma=1.0)
    np.testing.assert_allclose(np.exp(table.target / 250), 0.002, rtol=1e-9)
    assert table.draws.tolist() == [1, 1, 0] and not schedule("ctm", 3).draws.any()

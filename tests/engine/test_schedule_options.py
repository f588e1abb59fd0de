"""What each option does, in closed form."""

import math

import numpy as np
import pytest

from fewstep.engine.checks import Array
from fewstep.engine.levels import alphas_cumprod, sigma_grid
from fewstep.engine.sampling import advance
from fewstep.engine.schedule import schedule
from fewstep.engine.times import exponential, karras, time_of_sigma

GRID = sigma_grid(alphas_cumprod())


def test_cosine_betas_are_ratios_of_a_squared_cosine() -> None:
    def level(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    abar = alphas_cumprod(beta_schedule="squaredcos_cap_v2")
    assert abar[499] == pytest.approx(level(0.5) / level(0), rel=1e-12)
    assert abar[999] == pytest.approx(abar[998] * 0.001, rel=1e-9)


def test_zero_snr_keeps_the_first_level_and_empties_the_last() -> None:
    plain, zero = alphas_cumprod(), alphas_cumprod(rescale_betas_zero_snr=True)
    assert zero[0] == pytest.approx(plain[0], rel=1e-12) and zero[-1] == 0 and (np.diff(zero) < 0).all()


def test_the_same_levels_by_three_ways() -> None:
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    by_name = schedule("lcm", 4)
    by_betas = schedule("lcm", 4, trained_betas=betas.tolist())
    by_levels = schedule("lcm", 4, alphas_cumprod=np.cumprod(1 - betas))
    assert by_name == by_betas == by_levels


def test_levels_are_computed_once() -> None:
    assert alphas_cumprod() is alphas_cumprod() and not alphas_cumprod().flags.writeable


@pytest.mark.parametrize("s_noise", [0.0, 1.0, 1.003])
def test_churn_is_noise_added_after_the_call(s_noise: float) -> None:
    """Algorithm 2 of EDM as diffusers has it: up to hat, with the network's output from before."""
    table = schedule("euler", 4, s_churn=1.2, s_noise=s_noise, s_tmin=1.0, s_tmax=10.0)
    sigma = GRID[[999, 749, 499, 249]]
    assert table.draws.tolist() == [0, 1, 1, 0]
    x, m, z = (np.array([value]) for value in (3.0, -0.4, 0.8))
    hat = 1.3 * sigma[1]
    x_hat = x + s_noise * math.sqrt(hat**2 - sigma[1] ** 2) * z
    expected = x_hat + (sigma[2] - hat) * m
    np.testing.assert_allclose(advance(table, 1, x, m, None, z)[0], expected, rtol=1e-12)


def test_churn_with_v_uses_the_level_before_it() -> None:
    table = schedule("euler", 1, s_churn=0.2, prediction_type="v_prediction")
    sigma, (x, m, z) = GRID[999], (np.array([value]) for value in (3.0, -0.4, 0.8))
    x_hat = x + math.sqrt(1.2**2 - 1) * sigma * z
    x_0 = x_hat / (sigma**2 + 1) - sigma / math.sqrt(sigma**2 + 1) * m
    np.testing.assert_allclose(advance(table, 0, x, m, None, z)[0], x_0, rtol=1e-9)


def test_churn_grows_a_level_by_sqrt_2_at_most() -> None:
    assert schedule("euler", 2, s_churn=99.0) == schedule("euler", 2, s_churn=2 * (math.sqrt(2) - 1))


def test_euler_ends_at_the_smallest_level_if_asked() -> None:
    table = schedule("euler", 2, final_sigmas_type="sigma_min")
    assert table.b[-1] == pytest.approx(GRID[0] - GRID[499], rel=1e-12)


def test_euler_levels_may_be_given() -> None:
    given = schedule("euler", 2, sigmas=[GRID[999], GRID[499], 0.0])
    np.testing.assert_allclose(given.tau, [999, 499], rtol=1e-12)
    np.testing.assert_allclose(given.b, schedule("euler", 2).b, rtol=1e-12)


def test_karras_and_exponential_levels_keep_the_ends() -> None:
    for values in (karras(80, 0.002, np.linspace(0, 1, 5)), exponential(80, 0.002, 5)):
        assert (values[0], values[-1]) == pytest.approx((80, 0.002)) and (np.diff(values) < 0).all()
    np.testing.assert_allclose(exponential(16, 1, 5), [16, 8, 4, 2, 1], rtol=1e-12)
    table = schedule("euler", 4, use_exponential_sigmas=True, sigma_max=8.0, sigma_min=1.0)
    np.testing.assert_allclose(np.cumsum(table.b[::-1])[::-1], [-8, -4, -2, -1], rtol=1e-12)
    table = schedule("euler", 4, use_karras_sigmas=True, sigma_max=8.0, sigma_min=1.0)
    np.testing.assert_allclose(table.b.sum(), -8, rtol=1e-12)


def test_time_of_sigma_inverts_the_grid() -> None:
    np.testing.assert_allclose(time_of_sigma(GRID[[999, 20, 0]], GRID), [999, 20, 0], atol=1e-9)
    assert time_of_sigma(np.sqrt(GRID[[3]] * GRID[[4]]), GRID)[0] == pytest.approx(3.5)


@pytest.mark.parametrize(("N", "last_is_second_order"), [(14, False), (15, True)])
def test_dpmpp_lowers_the_last_order_below_15_steps(N: int, last_is_second_order: bool) -> None:
    table = schedule("dpmpp-2m", N, final_sigmas_type="sigma_min")
    assert (table.e[-1] != 0) == last_is_second_order
    assert schedule("dpmpp-2m", N, final_sigmas_type="sigma_min", euler_at_final=True).e[-1] == 0
    assert not schedule("dpmpp-2m", N, solver_order=1).e.any()


def test_ddpm_fixed_large_takes_beta_as_its_variance() -> None:
    abar = alphas_cumprod()
    large, small = (schedule("ddpm", 2, variance_type=kind) for kind in ("fixed_large", "fixed_small"))
    expected = [math.sqrt(1 - abar[999] / abar[499]), math.sqrt(1 - abar[499])]
    np.testing.assert_allclose(large.c, expected, rtol=1e-12)
    assert (large.a == small.a).all() and (large.b == small.b).all()


def test_flow_ancestral_without_noise_is_left_at_its_lower_level() -> None:
    table = schedule("flow-ancestral", 2, eta=0.5, s_noise=0.0)
    down = 0.5 * (1 + (0.5 - 1) * 0.5)
    assert (table.a[0], table.b[0]) == pytest.approx((1, down - 1)) and not table.draws.any()
    assert schedule("flow-ancestral", 2, s_noise=2.0).c[0] == 2 * schedule("flow-ancestral", 2).c[0]


def test_flow_timesteps_are_seen_as_given_but_their_levels_are_shifted() -> None:
    table = schedule("flow-euler", 2, timesteps=[900, 300], shift=3.0)
    s = [3 * 0.9 / 2.8, 3 * 0.3 / 1.6, 0]
    assert table.tau.tolist() == [900, 300]
    np.testing.assert_allclose(table.b, np.diff(s), rtol=1e-12)


def test_flow_karras_levels_follow_the_shift() -> None:
    table = schedule("flow-euler", 4, shift=3.0, use_karras_sigmas=True)
    np.testing.assert_allclose(table.tau, 1000 * karras(1, 0.5, np.linspace(0, 1, 4)), rtol=1e-12)
    table = schedule("flow-euler", 4, shift=3.0, use_exponential_sigmas=True)
    np.testing.assert_allclose(table.tau, 1000 * exponential(1, 0.5, 4), rtol=1e-12)


def test_cm_scales_its_noise() -> None:
    np.testing.assert_allclose(schedule("cm", 3, s_noise=0.5).c, 0.5 * schedule("cm", 3).c, rtol=1e-15)


def test_ctm_gamma_is_the_share_of_the_variance_drawn_anew() -> None:
    table = schedule("ctm", 2, gamma=0.6)
    middle = karras(80, 0.002, np.array([0.5]))[0]
    s = 0.8 * (middle - 0.002) + 0.002
    assert table.target[0] == pytest.approx(250 * math.log(s), rel=1e-12)
    assert table.c[0] == pytest.approx(math.sqrt(middle**2 - s**2), rel=1e-12)


def test_trigflow_noise_fraction_leaves_a_share_of_the_old_noise() -> None:
    table = schedule("trigflow", 2, times=[1.5, 0.9], noise_fraction=0.6)
    assert table.c[0] == pytest.approx(0.6 * 0.5 * math.sin(0.9), rel=1e-12)
    x, F, z = (np.array([value]) for value in (0.4, -0.8, 0.3))
    x_0: Array = math.cos(1.5) * x - math.sin(1.5) * 0.5 * F
    noise = (x - math.cos(1.5) * x_0) / math.sin(1.5)
    expected = math.cos(0.9) * x_0 + math.sin(0.9) * (0.8 * noise + 0.6 * 0.5 * z)
    np.testing.assert_allclose(advance(table, 0, x, F, None, z)[0], expected, rtol=1e-12)


def test_trigflow_without_fresh_noise_is_a_rotation_of_the_state() -> None:
    """x' = cos(t - s) x - sin(t - s) sigma_data F, as the recipe's teacher is sampled."""
    table = schedule("trigflow", 2, times=[1.5, 0.9], noise_fraction=0.0)
    np.testing.assert_allclose(table.a, [math.cos(0.6), math.cos(0.9)], rtol=1e-12)
    np.testing.assert_allclose(table.b, [-0.5 * math.sin(0.6), -0.5 * math.sin(0.9)], rtol=1e-12)
    assert not table.draws.any()

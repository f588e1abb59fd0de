"""Where the references of discrete-time diffusion are not what their papers or names suggest: one test a trap."""

import math

import numpy as np
import pytest
import torch

from fewstep.engine.checks import Array
from fewstep.engine.levels import alphas_cumprod, sigma_grid
from fewstep.engine.sampling import sample
from fewstep.engine.schedule import legal_options, schedule
from fewstep.errors import InputError

NOISE = np.random.default_rng(3).normal(size=(9, 3, 8, 8))


def draw(i: int) -> Array:
    z: Array = NOISE[1 + i]
    return z


# consistency models


def test_trap_cm_openai_two_step_points_are_not_the_uniform_ones() -> None:
    """launch.sh takes levels 0 and 22, diffusers' uniform grid 0 and 20; timesteps descend, yet level 0 is first."""
    given, uniform = schedule("cm", 2, timesteps=[22, 0]), schedule("cm", 2)
    assert given.tau[0] == uniform.tau[0] == pytest.approx(250 * math.log(80))
    assert given.c[0] == pytest.approx(1.38237, rel=1e-5) and uniform.c[0] == pytest.approx(2.24044, rel=1e-5)


def test_trap_cm_c_out_root_holds_sigma_not_sigma_minus_sigma_min() -> None:
    table = schedule("cm", 1, sigma_max=0.1)
    assert table.q[0] == pytest.approx(0.5 * 0.098 / math.sqrt(0.1**2 + 0.25), rel=1e-12)
    assert table.p[0] == pytest.approx(0.25 / (0.098**2 + 0.25), rel=1e-12)


def test_trap_cm_tau_is_a_float64_logarithm_below_zero_for_small_sigma() -> None:
    tau = schedule("cm", 4).tau
    assert tau[-1] == pytest.approx(-507.7631, abs=1e-4)
    assert tau[0] != np.float32(tau[0])


def test_trap_cm_last_step_draws_but_one_step_does_not() -> None:
    assert schedule("cm", 1).draws.tolist() == [0]
    assert schedule("cm", 3).draws.tolist() == [1, 1, 1]
    assert schedule("cm", 3).c[-1] == 0


def test_trap_cm_noise_variance_of_the_last_step_is_never_negative() -> None:
    """The reference takes a root of sigma'^2 - sigma_min^2 rounded to float32: NaN for a quarter of all sigma_min."""
    for sigma_min in np.linspace(0.001, 0.05, 400):
        assert schedule("cm", 2, sigma_min=float(sigma_min)).c[-1] == 0


def test_trap_cm_training_grids_have_other_lengths() -> None:
    assert schedule("cm", 2, num_train_timesteps=201, timesteps=[106, 0]).c[0] == pytest.approx(
        math.sqrt((80 ** (1 / 7) + 106 / 200 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 14 - 0.002**2)
    )


# latent consistency models, TCD, DMD2


def test_trap_lcm_times_come_from_the_distillation_grid() -> None:
    """Not 749 and 249: four of the fifty times 999, 979, ..., 19."""
    assert schedule("lcm", 4).tau.tolist() == [999, 759, 499, 259]


def test_trap_lcm_original_inference_steps_changes_the_grid() -> None:
    assert schedule("lcm", 4, original_inference_steps=100).tau.tolist() == [999, 749, 499, 249]
    assert schedule("lcm", 3, original_inference_steps=4).tau.tolist() == [999, 749, 499]


def test_trap_lcm_has_no_spacing_offset_or_final_alpha() -> None:
    """Its config holds them, but no time below 0 ever asks for them."""
    assert not {"timestep_spacing", "steps_offset", "set_alpha_to_one"} & set(legal_options("lcm"))


def test_trap_lcm_boundary_matters_only_near_zero() -> None:
    assert schedule("lcm", 2, timesteps=[999, 0]).a[1] == 1
    assert schedule("lcm", 2, timesteps=[999, 0]).b[1] == 0
    c_skip = schedule("lcm", 1, prediction_type="sample", timesteps=[19]).a[0]
    assert c_skip == pytest.approx(6.9e-6, rel=0.01)


def test_trap_lcm_last_step_is_the_denoised_image_and_draws_nothing() -> None:
    table = schedule("lcm", 2)
    assert table.draws.tolist() == [1, 0] and table.c[1] == 0
    at = alphas_cumprod()[499]
    assert table.b[1] == pytest.approx(-math.sqrt(1 / at - 1), rel=1e-7)


def test_trap_lcm_clips_x_0_inside_the_boundary_scalings() -> None:
    table = schedule("lcm", 1, clip_sample=True, timesteps=[1])
    x, m = np.array([0.5]), np.array([-90.0])
    c_skip, c_out = 0.25 / (100 + 0.25), 10 / math.sqrt(100 + 0.25)
    assert sample(table, lambda u, t: m, x, draw) == pytest.approx(c_skip * x + c_out * 1.0)
    assert schedule("lcm", 1).affine


def test_trap_pixart_delta_has_linear_betas() -> None:
    table = schedule("lcm", 1, beta_schedule="linear", beta_start=1e-4, beta_end=0.02)
    assert table.a[0] == pytest.approx(157.4, abs=0.05) and schedule("lcm", 1).a[0] == pytest.approx(14.65, abs=0.01)


def test_trap_dmd2_one_step_starts_from_unit_noise_at_399() -> None:
    table = schedule("dmd2", 1)
    assert (table.tau[0], table.init, table.s_in[0]) == (399, 1, 1)
    assert (table.a[0], table.b[0]) == pytest.approx((1.53197, -1.16058), rel=1e-5)


def test_trap_dmd2_is_lcm_on_other_times() -> None:
    listed = schedule("lcm", 4, timesteps=[999, 749, 499, 249])
    assert all((getattr(listed, c) == getattr(schedule("dmd2", 4), c)).all() for c in ("tau", "a", "b", "c", "draws"))


def test_trap_hyper_sdxl_one_step_starts_at_800() -> None:
    table = schedule("lcm", 1, timesteps=[800])
    assert (table.a[0], table.b[0]) == pytest.approx((5.2079, -5.1110), rel=1e-4)


def test_trap_tcd_scheduler_default_is_not_the_pipelines_zero() -> None:
    assert schedule("tcd", 4) == schedule("tcd", 4, eta=0.3)
    assert schedule("tcd", 4).draws.tolist() == [1, 1, 1, 0]
    assert not schedule("tcd", 4, eta=0.0).draws.any()


def test_trap_tcd_lands_at_time_zero_not_at_x_0() -> None:
    assert schedule("tcd", 1).b[0] == pytest.approx(-14.5793, rel=1e-5)
    assert schedule("lcm", 1).b[0] == pytest.approx(-14.6146, rel=1e-5)


def test_trap_tcd_floors_a_float32_product() -> None:
    """(1 - eta) t' in float32, as torch has it: in float64 some of the times would be another one."""
    abar = alphas_cumprod()
    differing = 0
    for eta in (0.1, 0.2, 0.3, 0.7, 0.9):
        for to in range(999):
            s = int(torch.floor((1 - eta) * torch.tensor(to)))
            differing += s != math.floor((1 - eta) * to)
            if to % 50 == 0 or s != math.floor((1 - eta) * to):
                c = schedule("tcd", 2, eta=eta, timesteps=[999, to]).c[0]
                assert c == pytest.approx(math.sqrt(1 - abar[to] / abar[s]), abs=1e-12)
    assert differing > 0


def test_trap_tcd_eta_0_is_ddim_onto_the_same_times() -> None:
    """250 apart, DDIM and TCD meet the same levels."""
    tcd = schedule("tcd", 4, eta=0.0, timesteps=[999, 749, 499, 249])
    ddim = schedule("ddim", 4)
    np.testing.assert_allclose(tcd.b, ddim.b, rtol=1e-12)
    np.testing.assert_allclose(tcd.a, ddim.a, rtol=1e-12)


def test_trap_tcd_given_original_steps_use_every_training_time() -> None:
    """set_timesteps(original_inference_steps=anything) means all 1000 times, which here is its value 1000."""
    assert schedule("tcd", 3, original_inference_steps=1000).tau.tolist() == [999, 666, 333]


# ADD and Lightning


def test_trap_turbo_starts_at_sigma_max_but_leading_spacing_at_its_hypotenuse() -> None:
    assert schedule("euler", 1).init == pytest.approx(14.6146, rel=1e-5)
    leading = schedule("euler", 2, timestep_spacing="leading", steps_offset=1)
    sigma = 1 / leading.s_in[0] ** 2 - 1
    assert leading.init == pytest.approx(math.sqrt(sigma + 1), rel=1e-12)


def test_trap_stability_demo_is_another_schedule_than_diffusers() -> None:
    demo, ours = schedule("add-demo", 4), schedule("euler-ancestral", 4)
    assert demo.tau.tolist() == [999, 899, 799, 699] and ours.tau.tolist() == [999, 749, 499, 249]
    assert demo.init == pytest.approx(14.6488, rel=1e-5) and ours.init == pytest.approx(14.6146, rel=1e-5)


def test_trap_sdxl_turbo_draws_at_its_last_step() -> None:
    for steps in (1, 4):
        table = schedule("euler-ancestral", steps)
        assert table.draws.all() and table.c[-1] == 0


def test_trap_lightning_one_step_is_the_network_output() -> None:
    table = schedule("euler", 1, prediction_type="sample")
    assert (table.a[0], table.b[0]) == (0, 1) and table.s_in[0] == pytest.approx(0.06826, rel=1e-4)


def test_trap_euler_replaces_a_zero_signal_level() -> None:
    """2^-24 instead of 0: sigma 4096, where LCM, TCD and DDIM would divide by 0."""
    assert schedule("euler", 2, rescale_betas_zero_snr=True).init == pytest.approx(4096, rel=1e-6)


@pytest.mark.parametrize("name", ["lcm", "tcd", "ddim", "ddpm", "dmd2"])
def test_trap_zero_snr_with_epsilon_says_nothing_about_x_0(name: str) -> None:
    with pytest.raises(InputError, match="v_prediction or sample"):
        schedule(name, 4, rescale_betas_zero_snr=True)
    assert np.isfinite(schedule(name, 4, rescale_betas_zero_snr=True, prediction_type="v_prediction").a).all()


# DDIM, DDPM, DPM-Solver++


def test_trap_ddim_steps_to_t_minus_t_over_n_not_to_the_next_time() -> None:
    """Times 999, 666, 332, yet the steps go 999 to 666, 666 to 333, 332 to the end."""
    table = schedule("ddim", 3)
    assert table.tau.tolist() == [999, 666, 332]
    abar = alphas_cumprod()
    a, a_next = abar[666], abar[333]
    assert table.a[1] == pytest.approx(math.sqrt(a_next / a), rel=1e-12)
    assert table.a[1] != pytest.approx(math.sqrt(abar[332] / a), rel=1e-5)


def test_trap_ddim_adds_noise_at_its_last_step_unless_alpha_is_one() -> None:
    assert schedule("ddim", 2, eta=1.0).c[-1] > 0.01
    assert schedule("ddim", 2, eta=1.0, set_alpha_to_one=True).c[-1] == 0
    assert schedule("ddim", 2, eta=1.0, set_alpha_to_one=True).draws.all()


def test_trap_ddim_clipped_output_changes_the_direction_too() -> None:
    abar = alphas_cumprod()
    A, S, A_to, k = (math.sqrt(v) for v in (abar[999], 1 - abar[999], abar[499], 1 - abar[499]))
    clipped = schedule("ddim", 2, clip_sample=True, use_clipped_model_output=True)
    assert (clipped.d[0], clipped.a[0], clipped.b[0]) == pytest.approx((A_to - k * A / S, k / S, 0), rel=1e-12)
    kept = schedule("ddim", 2, clip_sample=True)
    assert (kept.d[0], kept.a[0], kept.b[0]) == pytest.approx((A_to, 0, k), rel=1e-9, abs=1e-12)


def test_trap_ddpm_last_step_adds_noise_of_1e_10() -> None:
    assert schedule("ddpm", 2).c[-1] == 1e-10 and schedule("ddpm", 2).draws.tolist() == [1, 1]
    at_zero = schedule("ddpm", 2, timestep_spacing="leading")
    assert at_zero.tau[-1] == 0 and at_zero.draws.tolist() == [1, 0] and at_zero.c[-1] == 0


def test_trap_dpmpp_linspace_has_one_point_more_than_steps() -> None:
    assert schedule("dpmpp-2m", 4).tau.tolist() == [999, 749, 500, 250]


def test_trap_dpmpp_last_step_is_of_first_order() -> None:
    table = schedule("dpmpp-2m", 4)
    assert (table.d[-1], table.e[-1], table.a[-1]) == (1, 0, 0) and table.e[0] == 0 and (table.e[1:3] < 0).all()


def test_trap_float32_alphas_cumprod_are_a_millionth_off() -> None:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2
    single = torch.cumprod(1 - betas, 0).double().numpy()
    worst = np.abs(single / alphas_cumprod() - 1).max()
    assert 1e-7 < worst < 1e-6


def test_trap_one_step_amplifies_epsilon_errors() -> None:
    gains = {
        14.6: schedule("lcm", 1),
        5.1: schedule("lcm", 1, timesteps=[800]),
        1.16: schedule("dmd2", 1),
        157.4: schedule("lcm", 1, beta_schedule="linear", beta_start=1e-4, beta_end=0.02),
        1.0: schedule("flow-euler", 1),
    }
    for gain, table in gains.items():
        assert abs(table.b[0]) == pytest.approx(gain, rel=0.01)


def test_trap_leading_spacing_starts_far_from_pure_noise() -> None:
    assert schedule("euler", 1, timestep_spacing="leading", steps_offset=1).tau.tolist() == [1]
    assert schedule("euler", 4, timestep_spacing="leading", steps_offset=1).tau.tolist() == [751, 501, 251, 1]
    assert schedule("euler", 4, timestep_spacing="linspace").tau.tolist() == [999, 666, 333, 0]
    assert sigma_grid(alphas_cumprod())[1] < 0.05


@pytest.mark.parametrize("T", [1000, 100, 50])
def test_trap_trailing_times_are_those_numpy_arange_rounds_to(T: int) -> None:
    """T - i T / N is not always what arange steps to, and for some N (61 of 1000) arange has N + 1 elements."""
    for N in range(1, T + 1):
        rounded = np.arange(T, 0, -T / N).round()[:N] - 1
        assert schedule("ddpm", N, num_train_timesteps=T, prediction_type="sample").tau.tolist() == rounded.tolist()

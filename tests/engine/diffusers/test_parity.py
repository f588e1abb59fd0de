"""Every diffusers scheduler class against its object: whole trajectories, single steps and random numbers consumed."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from diffusers_parity import Case, check

STEPS = (1, 2, 3, 4, 8)
PREDICTIONS = ("epsilon", "sample", "v_prediction")
SPACINGS = ("leading", "linspace", "trailing")
LATENT: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CLIPPED: dict[str, Any] = {"clip_sample": True, "clip_sample_range": 1.5}


def config(name: str, **settings: Any) -> dict[str, Any]:
    return {"_class_name": f"{name}Scheduler", **settings}


def check_all(
    settings: dict[str, Any],
    steps: tuple[int, ...] = STEPS,
    *,
    float64_scalars: bool = False,
    huge_state: bool = False,
    **step_options: Any,
) -> None:
    for N in steps:
        check(Case(settings, N, {}, step_options, float64_scalars, huge_state))


@pytest.mark.parametrize("name", ["LCM", "TCD", "EulerDiscrete", "EulerAncestralDiscrete", "DDIM", "DDPM"])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_every_beta_schedule(name: str, schedule: str) -> None:
    from_noise = name.startswith("Euler") and schedule != "scaled_linear"
    # from the cosine's sigma = 20291, diffusers' ancestral step down is the root of a negative number for N = 4
    nan = name == "EulerAncestralDiscrete" and schedule == "squaredcos_cap_v2"
    settings = config(name, beta_schedule=schedule, prediction_type="v_prediction")
    check_all(settings, (2,) if nan else (2, 4), huge_state=from_noise)


@pytest.mark.parametrize("schedule", ["laplace", "sigmoid"])
def test_beta_schedules_only_ddpm_has(schedule: str) -> None:
    check_all(config("DDPM", beta_schedule=schedule), (2, 4))


@pytest.mark.parametrize("name", ["LCM", "TCD", "EulerDiscrete", "DDIM", "DDPM", "DPMSolverMultistep"])
def test_trained_betas(name: str) -> None:
    betas = [0.001 + 0.00003 * i for i in range(200)]
    check_all(config(name, num_train_timesteps=200, trained_betas=betas), (1, 4))


@pytest.mark.parametrize("name", ["EulerDiscrete", "EulerAncestralDiscrete", "DPMSolverMultistep"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_zero_snr_where_the_last_level_becomes_2_to_the_minus_24(name: str, prediction: str) -> None:
    settings = config(name, **LATENT, prediction_type=prediction, rescale_betas_zero_snr=True)
    huge = name.startswith("Euler") and prediction == "v_prediction"
    check_all({**settings, "timestep_spacing": "trailing"}, huge_state=huge)


@pytest.mark.parametrize("name", ["LCM", "TCD", "DDIM", "DDPM"])
def test_zero_snr_in_a_variance_preserving_state(name: str) -> None:
    settings = config(name, **LATENT, prediction_type="v_prediction", rescale_betas_zero_snr=True)
    check_all({**settings, "timestep_spacing": "trailing"})


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("clip", [{}, CLIPPED], ids=["free", "clipped"])
def test_lcm(prediction: str, clip: dict[str, Any]) -> None:
    check_all(config("LCM", prediction_type=prediction, **clip))


@pytest.mark.parametrize("timesteps", [[999, 749, 499, 249], [399], [800], [999, 500, 1, 0]])
@pytest.mark.parametrize("name", ["LCM", "TCD"])
def test_custom_distillation_times(name: str, timesteps: list[int]) -> None:
    check(Case(config(name), None, {"timesteps": timesteps}))


@pytest.mark.parametrize("name", ["LCM", "TCD"])
@pytest.mark.parametrize("options", [{"original_inference_steps": 100}, {"strength": 0.6}, {"strength": 0.31}])
def test_distillation_grid(name: str, options: dict[str, Any]) -> None:
    for N in STEPS:
        check(Case(config(name), N, options))


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("eta", [0.0, 0.3, 0.5, 1.0])
def test_tcd(prediction: str, eta: float) -> None:
    check_all(config("TCD", prediction_type=prediction), eta=eta)


@pytest.mark.parametrize(("prediction", "spacing"), list(product((*PREDICTIONS, "original_sample"), SPACINGS)))
def test_euler(prediction: str, spacing: str) -> None:
    settings = config("EulerDiscrete", **LATENT, prediction_type=prediction, timestep_spacing=spacing, steps_offset=1)
    check_all(settings)
    check_all({**settings, "final_sigmas_type": "sigma_min"}, (1, 4))


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("churn", [{"s_churn": 0.8}, {"s_churn": 40.0, "s_tmin": 0.5, "s_tmax": 10.0, "s_noise": 1.1}])
def test_euler_churn(prediction: str, churn: dict[str, Any]) -> None:
    check_all(config("EulerDiscrete", **LATENT, prediction_type=prediction, timestep_spacing="trailing"), **churn)


@pytest.mark.parametrize(
    "options",
    [{"timesteps": [999, 600.5, 100]}, {"timesteps": [999]}, {"sigmas": [14.6, 4.0, 0.5, 0.0]}, {"sigmas": [9.0, 1.0]}],
)
def test_euler_custom_lists(options: dict[str, Any]) -> None:
    check(Case(config("EulerDiscrete", **LATENT), None, options))


@pytest.mark.parametrize("family", ["use_karras_sigmas", "use_exponential_sigmas"])
def test_euler_sigma_families(family: str) -> None:
    check_all(config("EulerDiscrete", **LATENT, **{family: True}), (2, 3, 4, 8))


@pytest.mark.parametrize(("prediction", "spacing"), list(product(["epsilon", "v_prediction"], SPACINGS)))
def test_euler_ancestral(prediction: str, spacing: str) -> None:
    check_all(config("EulerAncestralDiscrete", **LATENT, prediction_type=prediction, timestep_spacing=spacing))


@pytest.mark.parametrize(("prediction", "spacing"), list(product(PREDICTIONS, SPACINGS)))
@pytest.mark.parametrize("eta", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("clip", [{"clip_sample": False}, CLIPPED], ids=["free", "clipped"])
def test_ddim(prediction: str, spacing: str, eta: float, clip: dict[str, Any]) -> None:
    settings = config("DDIM", **LATENT, prediction_type=prediction, timestep_spacing=spacing, steps_offset=1, **clip)
    near_data = prediction == "sample" and spacing == "leading"
    check_all({**settings, "set_alpha_to_one": False}, eta=eta, float64_scalars=near_data)
    check_all({**settings, "set_alpha_to_one": True}, (2, 3), eta=eta, use_clipped_model_output=True)


@pytest.mark.parametrize(("prediction", "spacing"), list(product(PREDICTIONS, SPACINGS)))
@pytest.mark.parametrize("clip", [{"clip_sample": False}, CLIPPED], ids=["free", "clipped"])
def test_ddpm(prediction: str, spacing: str, clip: dict[str, Any]) -> None:
    check_all(config("DDPM", **LATENT, prediction_type=prediction, timestep_spacing=spacing, **clip))


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_small_log", "fixed_large"])
def test_ddpm_variance(variance: str) -> None:
    check_all(config("DDPM", variance_type=variance))
    check(Case(config("DDPM", variance_type=variance), None, {"timesteps": [900, 500, 20]}))


@pytest.mark.parametrize(("prediction", "spacing"), list(product(PREDICTIONS, SPACINGS)))
def test_dpm_solver(prediction: str, spacing: str) -> None:
    settings = config("DPMSolverMultistep", **LATENT, prediction_type=prediction, timestep_spacing=spacing)
    check_all({**settings, "steps_offset": 1})
    check_all({**settings, "solver_type": "heun"}, (3, 4))


@pytest.mark.parametrize(
    "settings",
    [{"solver_order": 1}, {"lower_order_final": False}, {"euler_at_final": True}, {"final_sigmas_type": "sigma_min"}],
)
def test_dpm_solver_ends(settings: dict[str, Any]) -> None:
    check_all(config("DPMSolverMultistep", **LATENT, **settings), (1, 2, 4, 16))
    ending = {"final_sigmas_type": "sigma_min", "lower_order_final": False, **settings}
    check_all(config("DPMSolverMultistep", **LATENT, **ending), (2, 4))
    check(Case(config("DPMSolverMultistep", **LATENT, **settings), None, {"timesteps": [999, 400, 10]}))


@pytest.mark.parametrize("T", [40, 151, 201])
@pytest.mark.parametrize("clip", [True, False])
def test_consistency_models(T: int, clip: bool) -> None:
    settings = config("CMStochasticIterative", num_train_timesteps=T, clip_denoised=clip)
    check_all(settings)
    check_all({**settings, "s_noise": 0.9, "rho": 5.0}, (3,))


@pytest.mark.parametrize(("T", "timesteps"), [(40, [22, 0]), (40, [17, 0]), (201, [106, 0]), (151, [67, 0]), (40, [5])])
def test_consistency_model_times_of_the_authors(T: int, timesteps: list[int]) -> None:
    check(Case(config("CMStochasticIterative", num_train_timesteps=T), None, {"timesteps": timesteps}))


FLOW_SHIFTS: list[dict[str, Any]] = [
    {},
    {"shift": 3.0},
    {"shift": 0.5, "num_train_timesteps": 500},
    {"shift": 3.0, "use_karras_sigmas": True},
    {"use_exponential_sigmas": True},
]


@pytest.mark.parametrize("settings", FLOW_SHIFTS)
@pytest.mark.parametrize("name", ["FlowMatchEulerDiscrete", "FlowMatchLCM"])
def test_flow_static_shift(name: str, settings: dict[str, Any]) -> None:
    check_all(config(name, **settings))
    sigmas = [1.0, 0.9, 0.4]
    check(Case(config(name, **settings), None, {"sigmas": sigmas, "mu": 2.0}))
    check(Case(config(name, **settings), 3, {"timesteps": [400.0, 300.0, 20.0]}))
    check(Case(config(name, **settings), 3, {"timesteps": [400.0, 300.0, 20.0], "sigmas": sigmas}))


@pytest.mark.parametrize("kind", ["exponential", "linear"])
@pytest.mark.parametrize("terminal", [None, 0.0, 0.1])
@pytest.mark.parametrize("name", ["FlowMatchEulerDiscrete", "FlowMatchLCM"])
def test_flow_dynamic_shift(name: str, kind: str, terminal: float | None) -> None:
    settings = config(name, use_dynamic_shifting=True, time_shift_type=kind, shift_terminal=terminal, shift=7.0)
    for N in (2, 3, 4, 8):
        for mu in (0.5, 1.15):
            check(Case(settings, N, {"mu": mu}))
            check(Case(settings, N, {"mu": mu, "sigmas": [1 - i / N for i in range(N)]}))


def test_flow_stochastic_sampling() -> None:
    check_all(config("FlowMatchEulerDiscrete", shift=3.0, stochastic_sampling=True))


@pytest.mark.parametrize("shift", [3.0, 6.0])
def test_flow_heun_is_two_calls_a_step_but_the_last(shift: float) -> None:
    check_all(config("FlowMatchHeunDiscrete", shift=shift))


@pytest.mark.parametrize("N", STEPS)
def test_flow_heun_where_diffusers_divides_its_rounding_by_the_last_level(N: int) -> None:
    check(Case(config("FlowMatchHeunDiscrete"), N), tolerance=float(np.finfo(np.float32).eps) / 0.001)


@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_flow_map(shift: float) -> None:
    check_all(config("FlowMapEulerDiscrete", shift=shift))
    check(Case(config("FlowMapEulerDiscrete", shift=shift), None, {"sigmas": [1.0, 0.7, 0.2]}))
    check(Case(config("FlowMapEulerDiscrete", shift=shift), None, {"timesteps": [1000.0, 700.0, 200.0]}))


@pytest.mark.parametrize("eta", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("settings", [{}, {"s_noise": 0.0}, {"s_noise": 1.2, "shift": 3.0}])
def test_ltx(eta: float, settings: dict[str, Any]) -> None:
    check_all(config("LTXEulerAncestralRF", eta=eta, **settings))
    levels = [1.0, 0.9, 0.4, 0.0]
    check(Case(config("LTXEulerAncestralRF", eta=eta, **settings), None, {"sigmas": levels}))
    check(Case(config("LTXEulerAncestralRF", eta=eta, **settings), 3, {"timesteps": levels}))


def test_ltx_dynamic_shift() -> None:
    check(Case(config("LTXEulerAncestralRF", use_dynamic_shifting=True), 4, {"mu": 1.15}))


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_scm(sigma_data: float) -> None:
    settings = config("SCM", sigma_data=sigma_data)
    for N in (1, 3, 4, 8):
        check(Case(settings, N, {"intermediate_timesteps": None}))
        check(Case(settings, N, {"intermediate_timesteps": None, "max_timesteps": 1.2}))
    check(Case(settings, 2))
    check(Case(settings, 2, {"intermediate_timesteps": 1.1, "max_timesteps": 1.56454}))
    times = {"timesteps": [1.57, 1.0, 0.3, 0.0], "max_timesteps": None, "intermediate_timesteps": None}
    check(Case(settings, 3, times))


def test_scm_leaves_the_intermediate_time_to_two_steps() -> None:
    case = Case(config("SCM"), 4, {"intermediate_timesteps": None})
    assert Case(config("SCM"), 4).schedule() == case.schedule()
    assert Case(config("SCM"), 2).schedule().tau[1] == 1.3


def test_keys_no_scheduler_knows_are_ignored() -> None:
    plain, extra = config("LCM"), config("LCM", skip_prk_steps=True, _diffusers_version="0.24.0", clip_sample=False)
    assert Case(plain, 4).schedule() == Case(extra, 4).schedule()


def test_null_switches_are_off() -> None:
    off = config("EulerDiscrete", use_karras_sigmas=None, use_beta_sigmas=None, trained_betas=None)
    assert Case(off, 4).schedule() == Case(config("EulerDiscrete"), 4).schedule()


def test_step_count_comes_from_the_list() -> None:
    listed = Case(config("LCM"), None, {"timesteps": [999, 499]}).schedule()
    assert len(listed) == 2 and not math.isnan(listed.init)
    assert listed == Case(config("LCM"), 2, {"timesteps": [999, 499]}).schedule()

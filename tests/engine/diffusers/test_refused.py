"""What from_diffusers refuses, with an error that names what is legal."""

import math
from typing import Any

import pytest

from fewstep.engine.schedule import Schedule
from fewstep.errors import InputError

NAN = math.nan


def refused(config: object, steps: object, options: dict[str, Any], *words: str) -> None:
    with pytest.raises(InputError) as error:
        Schedule.from_diffusers(config, steps, **options)  # type: ignore[arg-type]
    for word in words:
        assert word in str(error.value), str(error.value)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ("LCMScheduler", "dict"),
        (None, "dict"),
        ({}, "LCMScheduler"),
        ({"_class_name": "UniPCMultistepScheduler"}, "UniPCMultistepScheduler"),
        ({"_class_name": "PiflowScheduler"}, "n_grid outputs"),
        ({"_class_name": ["LCMScheduler"]}, "LCMScheduler"),
    ],
)
def test_not_a_scheduler_a_table_can_express(config: object, word: str) -> None:
    refused(config, 4, {}, word)


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [
        ("LCM", {"thresholding": True}, ["thresholding", "False"]),
        ("DDIM", {"thresholding": True}, ["thresholding"]),
        ("DDPM", {"thresholding": True}, ["thresholding"]),
        ("DDPM", {"variance_type": "learned_range"}, ["fixed_small"]),
        ("DDPM", {"variance_type": "fixed_large_log"}, ["fixed_large"]),
        ("DPMSolverMultistep", {"thresholding": True}, ["thresholding"]),
        ("DPMSolverMultistep", {"solver_order": 3}, ["solver_order", "2"]),
        ("DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver++"}, ["'dpmsolver++'"]),
        ("DPMSolverMultistep", {"variance_type": "learned"}, ["variance_type", "None"]),
        ("DPMSolverMultistep", {"use_karras_sigmas": True}, ["use_karras_sigmas", "False"]),
        ("DPMSolverMultistep", {"use_lu_lambdas": True}, ["use_lu_lambdas"]),
        ("DPMSolverMultistep", {"use_flow_sigmas": True}, ["use_flow_sigmas"]),
        ("DPMSolverMultistep", {"lambda_min_clipped": -5.1}, ["lambda_min_clipped"]),
        ("DPMSolverMultistep", {"prediction_type": "flow_prediction"}, ["v_prediction"]),
        ("EulerDiscrete", {"use_beta_sigmas": True}, ["use_beta_sigmas"]),
        ("EulerDiscrete", {"interpolation_type": "log_linear"}, ["'linear'"]),
        ("EulerDiscrete", {"timestep_type": "continuous", "prediction_type": "v_prediction"}, ["discrete"]),
        ("EulerDiscrete", {"use_karras_sigmas": True, "use_exponential_sigmas": True}, ["at most one"]),
        ("EulerAncestralDiscrete", {"prediction_type": "sample"}, ["v_prediction"]),
        ("FlowMatchEulerDiscrete", {"invert_sigmas": True}, ["invert_sigmas", "False"]),
        ("FlowMatchEulerDiscrete", {"use_beta_sigmas": True}, ["use_beta_sigmas"]),
        ("FlowMatchEulerDiscrete", {"use_dynamic_shifting": True}, ["mu"]),
        ("FlowMatchEulerDiscrete", {"time_shift_type": "cubic", "use_dynamic_shifting": True}, ["mu"]),
        ("FlowMatchLCM", {"scale_factors": [2.0]}, ["scale_factors", "None"]),
        ("SCM", {"prediction_type": "epsilon"}, ["trigflow"]),
        ("LCM", {"prediction_type": "velocity"}, ["epsilon", "velocity"]),
        ("LCM", {"beta_schedule": "cosine"}, ["squaredcos_cap_v2"]),
        ("LCM", {"beta_start": NAN}, ["beta_start"]),
        ("LCM", {"beta_end": 2.0}, ["beta_end"]),
        ("LCM", {"num_train_timesteps": 10**9}, ["num_train_timesteps"]),
        ("LCM", {"num_train_timesteps": True}, ["num_train_timesteps"]),
        ("LCM", {"trained_betas": [0.1, "0.2"]}, ["trained_betas"]),
        ("LCM", {"trained_betas": [0.1, 0.2]}, ["1000"]),
        ("LCM", {"clip_sample": 1}, ["clip_sample", "True or False"]),
        ("DDIM", {"timestep_spacing": "uniform"}, ["trailing", "uniform"]),
        ("DDIM", {"rescale_betas_zero_snr": 1}, ["rescale_betas_zero_snr"]),
    ],
)
def test_setting(name: str, setting: dict[str, Any], words: list[str]) -> None:
    refused({"_class_name": f"{name}Scheduler", **setting}, 4, {}, *words)


@pytest.mark.parametrize("name", ["LCM", "TCD", "DDIM"])
def test_zero_snr_says_nothing_of_the_data_with_epsilon(name: str) -> None:
    config = {"_class_name": f"{name}Scheduler", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    refused(config, 4, {}, "v_prediction", "zero terminal SNR")


@pytest.mark.parametrize(
    ("name", "steps", "options", "words"),
    [
        ("LCM", 4, {"eta": 0.5}, ["original_inference_steps", "eta"]),
        ("DDIM", 4, {"timesteps": [999]}, ["eta", "timesteps"]),
        ("FlowMatchEulerDiscrete", 4, {"per_token_timesteps": None}, ["sigmas", "per_token_timesteps"]),
        ("EulerAncestralDiscrete", 4, {"sigmas": [1.0]}, ["no options", "sigmas"]),
        ("LCM", None, {}, ["steps"]),
        ("LCM", 0, {}, ["steps"]),
        ("LCM", -1, {}, ["steps"]),
        ("LCM", 51, {}, ["50"]),
        ("LCM", 1.5, {}, ["steps"]),
        ("LCM", True, {}, ["steps"]),
        ("LCM", "4", {}, ["steps"]),
        ("LCM", True, {"timesteps": [999]}, ["steps"]),
        ("LCM", 1.0, {"timesteps": [999]}, ["steps"]),
        ("LCM", 3, {"timesteps": [999, 499]}, ["2, the number of timesteps"]),
        ("LCM", None, {"timesteps": []}, ["timesteps"]),
        ("LCM", None, {"timesteps": "999"}, ["timesteps"]),
        ("LCM", None, {"timesteps": [499, 999]}, ["descending"]),
        ("LCM", None, {"timesteps": [1000]}, ["999"]),
        ("LCM", None, {"timesteps": [999, 499.5]}, ["integers"]),
        ("LCM", None, {"timesteps": [NAN]}, ["finite"]),
        ("LCM", 4, {"strength": 0.0}, ["strength"]),
        ("LCM", 4, {"strength": 0.05}, ["at most 2"]),
        ("LCM", None, {"strength": 0.5, "timesteps": [999]}, ["strength"]),
        ("LCM", 4, {"original_inference_steps": 2000}, ["original_inference_steps"]),
        ("TCD", 4, {"eta": 1.5}, ["eta", "from 0 to 1"]),
        ("DDIM", 4, {"eta": NAN}, ["eta"]),
        ("DDIM", 4, {"use_clipped_model_output": 1}, ["use_clipped_model_output"]),
        ("DDPM", None, {"timesteps": [999, 999]}, ["descending"]),
        ("EulerDiscrete", None, {"timesteps": [999.0], "sigmas": [1.0, 0.0]}, ["at most one"]),
        ("EulerDiscrete", None, {"sigmas": [1.0, 2.0]}, ["descending"]),
        ("EulerDiscrete", 4, {"s_churn": -1.0}, ["s_churn"]),
        ("CMStochasticIterative", None, {"timesteps": [0, 22]}, ["descending"]),
        ("CMStochasticIterative", None, {"timesteps": [40]}, ["39"]),
        ("FlowMatchEulerDiscrete", 2, {"sigmas": [1.0, 0.5], "timesteps": [500.0]}, ["1, the number of timesteps"]),
        ("FlowMatchEulerDiscrete", None, {"sigmas": [1.0, 0.0]}, ["above 0"]),
        ("LTXEulerAncestralRF", None, {"sigmas": [1.0, 0.5]}, ["end at 0"]),
        ("LTXEulerAncestralRF", None, {"sigmas": [0.0]}, ["2 numbers"]),
        ("SCM", 3, {"intermediate_timesteps": 1.3}, ["2 steps"]),
        ("SCM", 2, {"max_timesteps": 3.0}, ["max_timesteps"]),
        ("SCM", None, {"timesteps": [1.5, 1.0, 0.0], "intermediate_timesteps": 1.3}, ["intermediate_timesteps"]),
        ("SCM", 2, {"timesteps": [1.5, 0.0]}, ["1, the number of timesteps"]),
    ],
)
def test_option(name: str, steps: object, options: dict[str, Any], words: list[str]) -> None:
    refused({"_class_name": f"{name}Scheduler"}, steps, options, *words)

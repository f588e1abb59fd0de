"""What each diffusers 0.42.1 scheduler takes, with its defaults, and the sampler it is."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fewstep.engine.diffusers import adapt as adapters


@dataclass(frozen=True)
class SchedulerClass:
    """A scheduler class as data. Config keys named nowhere here are ignored, as diffusers ignores them.

    sampler: the name in fewstep.engine.schedule. config: constructor settings; betas: those that make alphas_cumprod;
    options: arguments of set_timesteps and step; each with its default. only: constructor settings of which a table can
    express the values listed, the default first. adapt: (settings, options given) to the sampler's own options.
    extra_times, extra_sigmas: entries of a custom list that are not network calls.
    """

    sampler: str
    config: Mapping[str, Any] = field(default_factory=dict)
    betas: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    adapt: Callable[[adapters.Settings, Mapping[str, Any]], adapters.Settings] = adapters.unchanged
    extra_times: int = 0
    extra_sigmas: int = 0


DDPM_BETAS: Mapping[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
}
LATENT_BETAS = {**DDPM_BETAS, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
OFF = (False, None)
CLIP: Mapping[str, Any] = {"clip_sample": True, "clip_sample_range": 1.0}
DISTILLED: Mapping[str, Any] = {"prediction_type": "epsilon", "original_inference_steps": 50}
SPACED: Mapping[str, Any] = {"prediction_type": "epsilon", "timestep_spacing": "leading", "steps_offset": 0}
FLOW: Mapping[str, Any] = {
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "use_dynamic_shifting": False,
    "shift_terminal": None,
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "time_shift_type": "exponential",
}
FLOW_TIMES: Mapping[str, Any] = {"sigmas": None, "mu": None, "timesteps": None}
FLOW_ONLY: Mapping[str, tuple[Any, ...]] = {"invert_sigmas": OFF, "use_beta_sigmas": OFF}

SCHEDULERS: Mapping[str, SchedulerClass] = {
    "LCMScheduler": SchedulerClass(
        sampler="lcm",
        config={**DISTILLED, **CLIP, "clip_sample": False, "timestep_scaling": 10.0},
        betas=LATENT_BETAS,
        options={"timesteps": None, "original_inference_steps": None, "strength": 1.0},
        only={"thresholding": OFF},
        adapt=adapters.lcm,
    ),
    "EulerDiscreteScheduler": SchedulerClass(
        sampler="euler",
        config={
            **SPACED,
            "timestep_spacing": "linspace",
            "use_karras_sigmas": False,
            "use_exponential_sigmas": False,
            "sigma_min": None,
            "sigma_max": None,
            "timestep_type": "discrete",
            "final_sigmas_type": "zero",
        },
        betas=DDPM_BETAS,
        options={
            "timesteps": None,
            "sigmas": None,
            "s_churn": 0.0,
            "s_tmin": 0.0,
            "s_tmax": math.inf,
            "s_noise": 1.0,
        },
        only={"use_beta_sigmas": OFF, "interpolation_type": ("linear",)},
        adapt=adapters.euler,
        extra_sigmas=1,
    ),
    "FlowMatchEulerDiscreteScheduler": SchedulerClass(
        sampler="flow-euler",
        config={**FLOW, "stochastic_sampling": False},
        options=FLOW_TIMES,
        only=FLOW_ONLY,
        adapt=adapters.flow_euler,
    ),
    "FlowMatchLCMScheduler": SchedulerClass(
        sampler="flow-stochastic",
        config=FLOW,
        options=FLOW_TIMES,
        only={**FLOW_ONLY, "scale_factors": (None,)},
        adapt=adapters.flow,
    ),
    "FlowMapEulerDiscreteScheduler": SchedulerClass(
        sampler="flow-map-euler",
        config={"num_train_timesteps": 1000, "shift": 1.0},
        options={"sigmas": None, "timesteps": None},
        adapt=adapters.flow_map,
    ),
    "SCMScheduler": SchedulerClass(
        sampler="scm",
        config={"sigma_data": 0.5},
        options={"timesteps": None, "max_timesteps": 1.5708, "intermediate_timesteps": "default"},
        only={"prediction_type": ("trigflow",)},
        adapt=adapters.scm,
        extra_times=1,
    ),
    "TCDScheduler": SchedulerClass(
        sampler="tcd",
        config=DISTILLED,
        betas=LATENT_BETAS,
        options={"timesteps": None, "original_inference_steps": None, "strength": 1.0, "eta": 0.3},
        adapt=adapters.tcd,
    ),
    "EulerAncestralDiscreteScheduler": SchedulerClass(
        sampler="euler-ancestral",
        config={**SPACED, "timestep_spacing": "linspace"},
        betas=DDPM_BETAS,
        only={"prediction_type": ("epsilon", "v_prediction")},
    ),
    "DDIMScheduler": SchedulerClass(
        sampler="ddim",
        config={**SPACED, **CLIP, "set_alpha_to_one": True},
        betas=DDPM_BETAS,
        options={"eta": 0.0, "use_clipped_model_output": False},
        only={"thresholding": OFF},
    ),
    "DDPMScheduler": SchedulerClass(
        sampler="ddpm",
        config={**SPACED, **CLIP, "variance_type": "fixed_small"},
        betas=DDPM_BETAS,
        options={"timesteps": None},
        only={"thresholding": OFF},
    ),
    "DPMSolverMultistepScheduler": SchedulerClass(
        sampler="dpmpp-2m",
        config={
            **SPACED,
            "timestep_spacing": "linspace",
            "solver_order": 2,
            "solver_type": "midpoint",
            "lower_order_final": True,
            "euler_at_final": False,
            "final_sigmas_type": "zero",
        },
        betas=DDPM_BETAS,
        options={"timesteps": None},
        only={
            "algorithm_type": ("dpmsolver++",),
            "thresholding": OFF,
            "variance_type": (None,),
            "lambda_min_clipped": (-math.inf,),
            "use_karras_sigmas": OFF,
            "use_exponential_sigmas": OFF,
            "use_beta_sigmas": OFF,
            "use_lu_lambdas": OFF,
            "use_flow_sigmas": OFF,
        },
    ),
    "CMStochasticIterativeScheduler": SchedulerClass(
        sampler="cm",
        config={
            "num_train_timesteps": 40,
            "sigma_min": 0.002,
            "sigma_max": 80.0,
            "sigma_data": 0.5,
            "s_noise": 1.0,
            "rho": 7.0,
            "clip_denoised": True,
        },
        options={"timesteps": None},
    ),
    "FlowMatchHeunDiscreteScheduler": SchedulerClass(
        sampler="flow-heun",
        config={"num_train_timesteps": 1000, "shift": 1.0},
    ),
    "LTXEulerAncestralRFScheduler": SchedulerClass(
        sampler="flow-ancestral",
        config={**FLOW, "eta": 1.0, "s_noise": 1.0},
        options=FLOW_TIMES,
        only=FLOW_ONLY,
        adapt=adapters.ltx,
        extra_times=1,
        extra_sigmas=1,
    ),
}

"""What is left to translate, scheduler class by scheduler class, once names and defaults are known.

Each function takes the settings, under diffusers' names, and the options that were given; it returns the sampler's own.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fewstep.engine.checks import flag, numbers, real, refuse, whole

Settings = dict[str, Any]


def unchanged(settings: Settings, given: Mapping[str, Any]) -> Settings:
    return settings


def euler(settings: Settings, given: Mapping[str, Any]) -> Settings:
    if settings["prediction_type"] == "original_sample":
        settings["prediction_type"] = "sample"
    if settings.pop("timestep_type") == "continuous" and settings["prediction_type"] == "v_prediction":
        raise refuse("timestep_type", "'discrete' for v_prediction", "continuous")
    return settings


def lcm(settings: Settings, given: Mapping[str, Any]) -> Settings:
    original = given.get("original_inference_steps")
    if original is not None:
        settings["original_inference_steps"] = original
    return _shortened(settings, dense=False)


def tcd(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """Passing original_inference_steps, whatever its value, makes TCD choose among all training times."""
    return _shortened(settings, dense=given.get("original_inference_steps") is not None)


def _shortened(settings: Settings, *, dense: bool) -> Settings:
    """The times of image-to-image: the lower `strength` of the distillation grid."""
    strength = real("strength", settings.pop("strength"), 0, 1, above=True)
    if strength == 1 and not dense:
        return settings
    if settings["timesteps"] is not None:
        if strength != 1:
            raise refuse("strength", "1 with custom timesteps", strength)
        return settings
    T = len(settings["alphas_cumprod"])
    original = T if dense else whole("original_inference_steps", settings["original_inference_steps"], 1, T)
    grid = np.arange(1, int(original * strength) + 1) * (T // original) - 1
    N = whole(f"steps (at most {len(grid)}: original_inference_steps * strength)", settings["steps"], 1, len(grid))
    chosen = np.floor(np.linspace(0, len(grid), N, endpoint=False)).astype(int)
    return settings | {"timesteps": grid[::-1][chosen].tolist()}


def flow(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """mu is read with dynamic shifting only: FLUX's pipeline passes it always."""
    dynamic = flag("use_dynamic_shifting", settings.pop("use_dynamic_shifting"))
    if dynamic and settings["mu"] is None:
        raise refuse("mu", "a number, as use_dynamic_shifting is set", None)
    settings["mu"] = settings["mu"] if dynamic else None
    settings["shift_terminal"] = settings["shift_terminal"] or None
    return settings | {"timestep_spacing": "linspace"}


def flow_euler(settings: Settings, given: Mapping[str, Any]) -> Settings:
    if flag("stochastic_sampling", settings.pop("stochastic_sampling")):
        settings["name"] = "flow-stochastic"
    return flow(settings, given)


def flow_map(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """Custom times are levels too: the network sees them shifted."""
    timesteps = settings.pop("timesteps")
    if settings["sigmas"] is None and timesteps is not None:
        T = whole("num_train_timesteps", settings["num_train_timesteps"], 2, 10**6)
        settings["sigmas"] = (numbers("timesteps", timesteps) / T).tolist()
    return settings


def scm(settings: Settings, given: Mapping[str, Any]) -> Settings:
    if settings["timesteps"] is not None:
        for key in ("max_timesteps", "intermediate_timesteps"):
            if given.get(key) is not None:
                raise refuse(key, "None beside custom timesteps", given[key])
        del settings["max_timesteps"]
    return settings


def ltx(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """Custom times are levels too; they hold the 0 at the end and are not shifted."""
    timesteps = settings.pop("timesteps")
    levels = timesteps if settings["sigmas"] is None else settings["sigmas"]
    if levels is None:
        return flow(settings, given)
    if levels[-1] != 0:
        raise refuse("sigmas", "levels that end at 0", list(levels))
    kept = ("name", "steps", "eta", "s_noise", "num_train_timesteps")
    return {key: settings[key] for key in kept} | {"sigmas": list(levels[:-1])}

"""Schedules from diffusers 0.42.1: a scheduler_config.json plus the arguments of set_timesteps and step."""

from collections.abc import Mapping
from typing import Any

from fewstep.engine.checks import Array, choice, flag, numbers, real, refuse, whole
from fewstep.engine.diffusers.adapt import Settings
from fewstep.engine.diffusers.alphas import BETA_SCHEDULES, alphas_cumprod
from fewstep.engine.diffusers.classes import SCHEDULERS, SchedulerClass
from fewstep.engine.schedule import schedule
from fewstep.engine.table import Schedule
from fewstep.errors import InputError


def from_diffusers(config: Mapping[str, Any], steps: int | None = None, **options: Any) -> Schedule:
    """The table that does what the scheduler does, to float32 rounding, random draws included.

    config: scheduler_config.json as a dict with its `_class_name`. Missing keys take diffusers' defaults and
    keys the class does not know are ignored, as diffusers does. steps: num_inference_steps; it may be left out where
    timesteps or sigmas are given, and has to agree with them. options: arguments of the scheduler's set_timesteps and
    step. Raises InputError for an unknown class or option, an illegal value, and a setting that no table can express.
    """
    if not isinstance(config, Mapping):
        raise refuse("config", "a scheduler_config.json as a dict", type(config).__name__)
    class_name = config.get("_class_name")
    if class_name == "PiflowScheduler":
        raise InputError("PiflowScheduler: its network gives n_grid outputs a call, and a table has room for one")
    scheduler = SCHEDULERS[choice("_class_name", class_name, SCHEDULERS)]
    if unknown := sorted(set(options) - set(scheduler.options)):
        legal = f"options among {', '.join(sorted(scheduler.options))}" if scheduler.options else "no options"
        raise refuse(str(class_name), legal, ", ".join(unknown))
    for key, legal_values in scheduler.only.items():
        if config.get(key, legal_values[0]) not in legal_values:
            raise refuse(key, f"one of {', '.join(map(repr, legal_values))} for {class_name}", config[key])
    settings = {key: _setting(config, key, default) for key, default in scheduler.config.items()}
    settings |= {key: options.get(key, default) for key, default in scheduler.options.items() if key not in settings}
    settings["name"] = scheduler.sampler
    settings["steps"] = _steps(steps, settings, scheduler)
    if scheduler.betas:
        settings["alphas_cumprod"] = _alphas_cumprod(config, scheduler)
    return schedule(**scheduler.adapt(settings, options))


def _setting(config: Mapping[str, Any], key: str, default: Any) -> Any:
    """null in a config file stands for False where a switch is meant."""
    value = config.get(key, default)
    return False if value is None and default is False else value


def _steps(steps: object, settings: Settings, scheduler: SchedulerClass) -> object:
    """The step count, from the custom lists where there are any."""
    counts = {}
    for key, extra in (("timesteps", scheduler.extra_times), ("sigmas", scheduler.extra_sigmas)):
        if settings.get(key) is not None:
            counts[key] = len(numbers(key, settings[key])) - extra
            if counts[key] < 1:
                raise refuse(key, f"{extra + 1} numbers or more", settings[key])
    if steps is None and not counts:
        raise refuse("steps", "a number of steps, or custom timesteps or sigmas", None)
    for key, count in counts.items():
        if steps is not None and (type(steps) is not int or steps != count):
            raise refuse("steps", f"{count}, the number of {key} given, or None", steps)
    return next(iter(counts.values()), steps)


def _alphas_cumprod(config: Mapping[str, Any], scheduler: SchedulerClass) -> Array:
    betas = {key: _setting(config, key, default) for key, default in scheduler.betas.items()}
    T = whole("num_train_timesteps", betas["num_train_timesteps"], 2, 10**6)
    trained = None if betas["trained_betas"] is None else tuple(numbers("trained_betas", betas["trained_betas"], T))
    return alphas_cumprod(
        choice("beta_schedule", betas["beta_schedule"], BETA_SCHEDULES) if trained is None else "",
        real("beta_start", betas["beta_start"], 0, 1, above=True),
        real("beta_end", betas["beta_end"], 0, 1, above=True),
        T,
        trained,
        flag("rescale_betas_zero_snr", betas["rescale_betas_zero_snr"]),
    )

"""Samplers by name."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from fewstep.engine.levels import TrainingOptions
from fewstep.engine.samplers.euler import euler
from fewstep.engine.samplers.flow import (
    FlowOptions,
    flow_euler,
    flow_map_euler,
    flow_stochastic,
)
from fewstep.engine.samplers.lcm import dmd2, lcm
from fewstep.engine.samplers.trigflow import sana_sprint, scm, trigflow
from fewstep.engine.sampling import sample
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.errors import InputError

__all__ = ["SAMPLERS", "GuidedSchedule", "Schedule", "sample", "schedule"]

SAMPLERS: dict[str, Callable[..., Schedule]] = {
    "dmd2": dmd2,
    "euler": euler,
    "flow-euler": flow_euler,
    "flow-map-euler": flow_map_euler,
    "flow-stochastic": flow_stochastic,
    "lcm": lcm,
    "sana-sprint": sana_sprint,
    "scm": scm,
    "trigflow": trigflow,
}


def schedule(name: str, steps: int, **options: Any) -> Schedule:
    """The table of a sampler. docs/schedules.md lists names and options; underscores may stand for hyphens.

    steps: the number of network calls (of solver steps for flow-heun). Raises InputError, naming what is legal, for an
    unknown name or option and for an illegal value.
    """
    key = name.replace("_", "-") if isinstance(name, str) else name
    if not isinstance(key, str) or key not in SAMPLERS:
        raise InputError(f"schedule: expected one of {', '.join(SAMPLERS)}, got {name!r}")
    legal = legal_options(key)
    if unknown := sorted(set(options) - set(legal)):
        raise InputError(f"{key}: expected options among {', '.join(legal)}, got {', '.join(unknown)}")
    return SAMPLERS[key](steps, **options)


@functools.cache
def legal_options(name: str) -> tuple[str, ...]:
    """The option names of a sampler, sorted; name: a key of SAMPLERS."""
    parameters = inspect.signature(SAMPLERS[name]).parameters.values()
    names = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    groups = {"training": TrainingOptions, "options": FlowOptions}
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            names |= set(groups[parameter.name].__annotations__)
    return tuple(sorted(names))

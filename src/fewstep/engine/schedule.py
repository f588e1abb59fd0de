"""Samplers by name."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from fewstep.engine.checks import refuse
from fewstep.engine.levels import TrainingOptions
from fewstep.engine.samplers.ancestral import add_demo, euler_ancestral
from fewstep.engine.samplers.cm import cm
from fewstep.engine.samplers.ctm import ctm
from fewstep.engine.samplers.ddgan import ddgan
from fewstep.engine.samplers.ddim import ddim, ddpm
from fewstep.engine.samplers.dpmpp import dpmpp_2m
from fewstep.engine.samplers.euler import euler
from fewstep.engine.samplers.flow import FlowOptions, flow_euler, flow_map_euler, flow_stochastic
from fewstep.engine.samplers.flow_ancestral import flow_ancestral
from fewstep.engine.samplers.flow_maps import meanflow, shortcut
from fewstep.engine.samplers.heun import flow_heun
from fewstep.engine.samplers.imm import imm
from fewstep.engine.samplers.lcm import dmd2, lcm
from fewstep.engine.samplers.tcd import tcd
from fewstep.engine.samplers.trigflow import sana_sprint, scm, trigflow
from fewstep.engine.sampling import sample
from fewstep.engine.table import GuidedSchedule, Schedule

__all__ = ["SAMPLERS", "GuidedSchedule", "Schedule", "sample", "schedule"]

SAMPLERS: dict[str, Callable[..., Schedule]] = {
    "add-demo": add_demo,
    "cm": cm,
    "ctm": ctm,
    "ddgan": ddgan,
    "ddim": ddim,
    "ddpm": ddpm,
    "dmd2": dmd2,
    "dpmpp-2m": dpmpp_2m,
    "euler": euler,
    "euler-ancestral": euler_ancestral,
    "flow-ancestral": flow_ancestral,
    "flow-euler": flow_euler,
    "flow-heun": flow_heun,
    "flow-map-euler": flow_map_euler,
    "flow-stochastic": flow_stochastic,
    "imm": imm,
    "lcm": lcm,
    "meanflow": meanflow,
    "sana-sprint": sana_sprint,
    "scm": scm,
    "shortcut": shortcut,
    "tcd": tcd,
    "trigflow": trigflow,
}


def schedule(name: str, steps: int, **options: Any) -> Schedule:
    """The table of a sampler. docs/schedules.md lists names and options; underscores may stand for hyphens.

    steps: the number of network calls (of solver steps for flow-heun). Raises InputError, naming what is legal, for an
    unknown name or option and for an illegal value.
    """
    key = name.replace("_", "-") if isinstance(name, str) else name
    if not isinstance(key, str) or key not in SAMPLERS:
        raise refuse("schedule", f"one of {', '.join(SAMPLERS)}", name)
    legal = legal_options(key)
    if unknown := sorted(set(options) - set(legal)):
        raise refuse(key, f"options among {', '.join(legal)}", ", ".join(unknown))
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

"""Where a generation's loop begins: at noise of seeds, or at a state that is an input, with a picture or without."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fewstep.export.lower.draft import Draft, constant, copy
from fewstep.export.lower.views import View, like, new_view, order_of

INPUTS = {"seeds", "state", "noise", "picture", "picture_mask"}  # what plans call their own


@dataclass(frozen=True)
class Carried:
    """From step to step: the state x, the network's next input u, and the sampler's history, if it has one."""

    x: View
    u: View
    history: View | None


@dataclass(frozen=True)
class Beginning:
    """ops: of the stage start. noise, mask, known: what the sampler's step reads."""

    inputs: Mapping[str, View]
    ops: tuple[Draft, ...]
    noise: View
    mask: View | None = None
    known: View | None = None


Begins = Callable[[Carried, View, int], Beginning]  # scales: of the step; steps: the most there are


def of_seeds(carried: Carried, scales: View, steps: int) -> Beginning:
    """All noise is made of seeds (B,) on the device."""
    seeds = new_view("i64", carried.x.shape[:1])
    first = Draft("initial_state", "noise", (seeds, scales), (carried.x, carried.u))
    return Beginning({"seeds": seeds}, (first,), seeds)


def of_noise(carried: Carried, scales: View, steps: int) -> Beginning:
    """The first state and each step's noise (steps, B, ...) are inputs, so that a run may begin with any step."""
    x, u, history = carried.x, carried.u, carried.history
    state, noise = like(x), _of_steps(x, steps)
    scale = replace(scales, shape=x.shape, strides=(0,) * len(x.shape), offset=scales.offset + scales.strides[0])
    ops = (
        copy("state", state, x),
        Draft("map", "scaled", (state, scale), (u,), {"code": [["mul", 0, 1]]}),
        *(() if history is None else (constant("history", history),)),
    )
    return Beginning({"state": state, "noise": noise}, ops, _at_step(noise))


def of_pictures(carried: Carried, scales: View, steps: int) -> Beginning:
    """Besides, after each step what is kept of a picture (steps, B, ...), where the mask (B, 1, ...) is 0."""
    begun, x = of_noise(carried, scales, steps), carried.x
    mask, known = new_view("f32", (x.shape[0], 1, *x.shape[2:])), _of_steps(x, steps)
    inputs = {**begun.inputs, "picture_mask": mask, "picture": known}
    return replace(begun, inputs=inputs, mask=mask.expanded(x.shape), known=_at_step(known))


def _of_steps(x: View, steps: int) -> View:
    """A state for each step, one after the other, each lying as x does."""
    order = (axis + 1 for axis in order_of(x.shape, x.strides))
    return new_view("f32", (steps, *x.shape), (0, *order))


def _at_step(states: View) -> View:
    return replace(states, shape=states.shape[1:], strides=states.strides[1:], step=states.strides[0])

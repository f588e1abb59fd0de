"""Reads the stages of a component and checks that each takes only what is known when it runs."""

from collections.abc import Mapping
from types import MappingProxyType

from fewstep.engine.bundle_manifest import MODULATION, PROMPT, STAGES, STEP, TABLES, Component, Stage, TensorSpec
from fewstep.engine.checks import distinct, file_name, refuse
from fewstep.engine.reading.fields import Fields
from fewstep.engine.reading.tensors_reader import take_tensors
from fewstep.errors import InputError

DTYPES = ("float32", "float16", "float64", "int64", "int32", "bool")
MAX_CROSSING = 4096  # values; they fit a manifest of 1 MiB
# The component's inputs are the state, the time and what the prompt is made of, in this order.
STATE, TIME = 0, 1
EARLIER: Mapping[str, tuple[str, ...]] = {
    TABLES: (),
    PROMPT: (),
    MODULATION: (TABLES, PROMPT),
    STEP: (TABLES, PROMPT, MODULATION),
}


def take_stages(where: str, value: object, component: Component) -> Mapping[str, Stage]:
    """The stages by name, in the order they run; none at all, or those that compute the component's outputs.

    Raises InputError naming the field, and where a stage takes what no earlier one makes.
    """
    fields = Fields(where, value)
    stages = {name: fields.take(name, _stage) for name in STAGES if name in fields.keys()}  # noqa: SIM118
    fields.done()
    if not stages:
        return MappingProxyType(stages)
    if STEP not in stages:
        raise InputError(f"{where}: {STEP} is missing")
    distinct(where, [component.graph, *component.weights, *(stage.graph for stage in stages.values())])
    made = [tensor.name for stage in stages.values() for tensor in stage.outputs]
    distinct(f"{where}: outputs", [*made, *(tensor.name for tensor in component.inputs)])
    if stages[STEP].outputs != component.outputs:
        raise refuse(f"{where}.{STEP}.outputs", f"those of the component, {component.outputs}", stages[STEP].outputs)
    for name, stage in stages.items():
        known = {tensor.name: tensor for tensor in _known(name, stages, component)}
        distinct(f"{where}.{name}.inputs", [tensor.name for tensor in stage.inputs])
        for tensor in stage.inputs:
            if known.get(tensor.name) != tensor:
                expected = f"what is known before it runs, {known.get(tensor.name) or sorted(known)}"
                raise refuse(f"{where}.{name}.inputs", expected, tensor)
    return MappingProxyType(stages)


def _stage(where: str, value: object) -> Stage:
    fields = Fields(where, value)
    graph = fields.take("graph", file_name)
    inputs, outputs = (fields.take(key, take_tensors, DTYPES, MAX_CROSSING) for key in ("inputs", "outputs"))
    fields.done()
    return Stage(graph, inputs, outputs)


def _known(name: str, stages: Mapping[str, Stage], component: Component) -> list[TensorSpec]:
    """The tensors that a stage may take."""
    time, prompt = component.inputs[TIME : TIME + 1], component.inputs[TIME + 1 :]
    given = {TABLES: time, PROMPT: prompt, MODULATION: (*time, *prompt), STEP: component.inputs}[name]
    crossing = (tensor for earlier in EARLIER[name] if earlier in stages for tensor in stages[earlier].outputs)
    return [*given, *crossing]

"""Splits a network by binding time: tables of the times, the prompt's part, what depends on both, and the loop body.

    tables:      time -> values, a row a time; run when a schedule is chosen, all its times as one batch
    prompt:      prompt -> values; run once a request
    modulation:  rows of the tables, and the prompt's values -> values; run once a request, all steps as one batch
    step:        the state, and all of those at its row -> the output; run in the loop

A graph's inputs are named as in the whole network. A stage with nothing to do is left out.
"""

from collections.abc import Mapping

import onnx_ir as ir
import onnx_ir.passes.common as passes

from fewstep.engine.bundle_manifest import MODULATION, PROMPT, STAGES, STEP, TABLES
from fewstep.errors import InputError
from fewstep.export.staging.binding import Binding, find_bindings, used_values
from fewstep.export.staging.shapes import is_batched, read_batch_off

CONSTANT = "constant"
# They only make a value larger: done early they would cost memory and save nothing.
GROWING = {"Expand", "Tile", "Resize", "Pad", "ConstantOfShape"}

Homes = dict[ir.Value, str]


def stage(model: ir.Model, inputs: Mapping[str, Binding]) -> dict[str, ir.Model]:
    """The stages by name, in the order of STAGES; `model` stays as it is.

    inputs: what each of its inputs is, every one of them (B, ...). A value that crosses from one stage to another is
    (B, whole numbers); what is not stays in the loop. Images of a batch must not depend on each other. Raises
    InputError unless `inputs` are the model's.
    """
    names = {str(value.name) for value in model.graph.inputs}
    if names != inputs.keys():
        raise InputError(f"bindings: expected one for each of {sorted(names)}, got {sorted(inputs)}")
    model = model.clone()
    passes.ShapeInferencePass()(model)
    homes = find_homes(model.graph, inputs)
    built = {name: _extract(model, name, homes) for name in STAGES}
    return {name: part for name, part in built.items() if part is not None}


def find_homes(graph: ir.Graph, inputs: Mapping[str, Binding]) -> Homes:
    """The stage of every value: where its binding puts it, unless it could not cross from there to where it is used."""
    kept = {node for node in graph if any(value.is_graph_output() for value in node.outputs)}
    while True:
        bindings = find_bindings(graph, inputs, frozenset(kept))
        homes = {value: _home(binding) for value, binding in bindings.items()}
        stuck = {
            node
            for node in graph
            if homes[node.outputs[0]] not in (CONSTANT, STEP)
            and any(_crosses(value, homes) and not _may_cross(value) for value in node.outputs)
        }
        if not stuck:
            return homes
        kept |= stuck


def _home(binding: Binding) -> str:
    if Binding.STATE in binding:
        return STEP
    return {Binding.CONSTANT: CONSTANT, Binding.TIME: TABLES, Binding.PROMPT: PROMPT}.get(binding, MODULATION)


def _crosses(value: ir.Value, homes: Homes) -> bool:
    return any(homes[user.outputs[0]] not in (homes[value], CONSTANT) for user in value.consumers())


def _may_cross(value: ir.Value) -> bool:
    producer = value.producer()
    return is_batched(value) and (producer is None or producer.op_type not in GROWING)


def _extract(model: ir.Model, name: str, homes: Homes) -> ir.Model | None:
    """One stage as a model of its own, or None if nothing is computed there that another stage or the caller needs."""
    graph = model.graph
    mine = [node for node in graph if homes[node.outputs[0]] == name]
    taken = dict.fromkeys(
        v for node in mine for v in used_values(node) if homes.get(v, CONSTANT) not in (CONSTANT, name)
    )
    taken |= dict.fromkeys(v for v in graph.inputs if homes[v] == name)
    made = [v for node in mine for v in node.outputs if v.is_graph_output() or _crosses(v, homes)]
    if not made:
        return None
    part = model.clone()
    values = ir.convenience.create_value_mapping(part.graph)
    anchor = next(iter(taken))
    read_batch_off(part.graph, values[str(anchor.name)])
    extracted = ir.convenience.extract(part.graph, [str(v.name) for v in taken], [str(v.name) for v in made])
    _order_initializers(extracted, model.graph)
    return ir.Model(extracted, ir_version=model.ir_version, producer_name=model.producer_name, functions=[])


def _order_initializers(graph: ir.Graph, like: ir.Graph) -> None:
    """As they stood in the whole network: extraction leaves them in an order of its own each time."""
    values = dict(graph.initializers)
    graph.initializers.clear()
    for name in [name for name in like.initializers if name in values]:
        graph.initializers[name] = values[name]

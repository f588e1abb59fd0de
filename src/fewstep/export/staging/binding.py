"""Binding-time analysis (Jones, Gomard & Sestoft 1993, chapter 5): what each value of a network depends on.

A value that depends on the time alone is known once the schedule is; one that depends on the prompt alone, once the
request is; only what depends on the state has to be computed in the loop.
"""

from collections.abc import Mapping
from enum import Flag

import onnx_ir as ir

from fewstep.export.staging.shapes import is_batch_size


class Binding(Flag):
    CONSTANT = 0
    TIME = 1
    PROMPT = 2
    STATE = 4


# Two calls of these give two answers, so they stay where they are.
IMPURE = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}

Bindings = dict[ir.Value, Binding]


def find_bindings(graph: ir.Graph, inputs: Mapping[str, Binding], kept: frozenset[ir.Node] = frozenset()) -> Bindings:
    """The binding of every value that the graph itself holds. inputs: that of each input, by name.

    kept: nodes that are to stay in the loop whatever they depend on.
    """
    bindings: Bindings = {value: inputs[value.name or ""] for value in graph.inputs}
    for node in graph:
        binding = Binding.STATE if node in kept or node.op_type in IMPURE else Binding.CONSTANT
        if not is_batch_size(node):
            for value in used_values(node):
                binding |= bindings.get(value, Binding.CONSTANT)  # initializers are constants
        bindings |= dict.fromkeys(node.outputs, binding)
    return bindings


def used_values(node: ir.Node) -> list[ir.Value]:
    """What a node reads: its inputs, and what the bodies of an If, Loop or Scan read of the graph around them."""
    used = [value for value in node.inputs if value is not None]
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            bodies = [attribute.as_graph()]
        elif attribute.type == ir.AttributeType.GRAPHS:
            bodies = list(attribute.as_graphs())
        else:
            continue
        used += [value for body in bodies for inner in body.all_nodes() for value in inner.inputs if value is not None]
    return used

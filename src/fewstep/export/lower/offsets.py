"""Sums with a number go back to where they are used: a norm adds the 1 of 1 + scale itself, so the loop need not."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from fewstep.export.lower.match import with_scalar
from fewstep.export.lower.rewrite import sweep


def move_offsets(parts: Mapping[str, ir.Model]) -> dict[str, ir.Model]:
    """The stages of staging.stage, with s for v = s + number wherever v crosses from one to another."""
    moved = {name: part.clone() for name, part in parts.items()}
    for name, part in moved.items():
        users = [other.graph for key, other in moved.items() if key != name]
        for value in list(part.graph.outputs):
            reading = [(graph, found) for graph in users for found in graph.inputs if found.name == value.name]
            offset = with_scalar(value.producer(), "Add") if reading and not value.consumers() else None
            if offset is None or offset[0].is_graph_input():
                continue
            term, number = offset
            _replace_output(part.graph, value, term)
            for graph, found in reading:
                _add_again(graph, found, term, number)
        sweep(part.graph)
    return moved


def _replace_output(graph: ir.Graph, value: ir.Value, term: ir.Value) -> None:
    if term.is_graph_output():
        graph.outputs.remove(value)
    else:
        graph.outputs[graph.outputs.index(value)] = term


def _add_again(graph: ir.Graph, found: ir.Value, term: ir.Value, number: float) -> None:
    present = next((value for value in graph.inputs if value.name == term.name), None)
    inner = present or ir.Value(name=term.name, shape=term.shape, type=term.type)
    one = ir.tensor(np.asarray(number, np.float32))
    constant = ir.Value(name=f"{found.name}.offset", shape=ir.Shape(()), type=ir.TensorType(one.dtype), const_value=one)
    total = ir.Value(name=f"{found.name}.sum", shape=found.shape, type=found.type)
    ir.convenience.replace_all_uses_with(found, total, replace_graph_outputs=True)
    graph.register_initializer(constant)
    graph.insert_before(graph[0], ir.Node("", "Add", [inner, constant], outputs=[total], name=str(found.name)))
    index = graph.inputs.index(found)
    if present is None:
        graph.inputs[index] = inner
    else:
        del graph.inputs[index]

"""Local rewrites: each a function of one node that makes what replaces it, applied until none finds anything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from fewstep.export.lower.tape import Tape, shape_of

# What replaces the node's outputs, or None to leave it. It makes new nodes on the tape, and changes none.
Rule = Callable[[ir.Node, Tape], ir.Value | Sequence[ir.Value] | None]


@dataclass(frozen=True)
class PassReport:
    """rewrites: how often a rule applied; before, after: the nodes of the graph."""

    name: str
    rewrites: int
    before: int
    after: int


def rewrite(graph: ir.Graph, name: str, rules: Sequence[Rule]) -> PassReport:
    """Applies the rules to every node, in place, until nothing changes. A node that lost its last reader goes."""
    before, count = graph.num_nodes(), 0
    sweep(graph)
    while changes := sum(_rewrite_node(graph, node, rules) for node in list(graph)):
        count += changes
    return PassReport(name, count, before, graph.num_nodes())


def sweep(graph: ir.Graph) -> None:
    """Removes what nothing reads."""
    for node in reversed(list(graph)):
        _remove_unread(graph, node)
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        if not graph.initializers[name].is_graph_output():
            del graph.initializers[name]


def _rewrite_node(graph: ir.Graph, node: ir.Node, rules: Sequence[Rule]) -> bool:
    if node.graph is not graph:
        return False
    for rule in rules:
        tape = Tape(node.name or node.op_type)
        made = rule(node, tape)
        if made is not None:
            _replace(graph, node, tape, [made] if isinstance(made, ir.Value) else made)
            return True
    return False


def _replace(graph: ir.Graph, node: ir.Node, tape: Tape, made: Sequence[ir.Value]) -> None:
    assert len(made) == len(node.outputs), node
    for old, new in zip(node.outputs, made, strict=True):
        assert old.shape == new.shape and old.dtype == new.dtype, (node, old, new)
    for value in tape.constants:
        if value.uses() or value in made:
            add_constant(graph, value)
    graph.insert_before(node, tape.nodes)
    kept = [_apart(graph, node, value) if old.is_graph_output() else value for old, value in _pairs(node, made)]
    ir.convenience.replace_all_uses_with(node.outputs, kept, replace_graph_outputs=True)
    for old, new in zip(node.outputs, kept, strict=True):
        if new.is_graph_output():
            new.name, old.name = old.name, None
    _remove_unread(graph, node)
    for left_over in reversed(tape.nodes):
        _remove_unread(graph, left_over)


def _pairs(node: ir.Node, made: Sequence[ir.Value]) -> list[tuple[ir.Value, ir.Value]]:
    return list(zip(node.outputs, made, strict=True))


def _apart(graph: ir.Graph, node: ir.Node, value: ir.Value) -> ir.Value:
    """A value that may take an output's name: a copy of one that has a name of its own to keep."""
    if value.producer() is not None and not value.is_graph_output():
        return value
    tape = Tape(node.name or node.op_type)
    (copy,) = tape.node("Identity", [value], [shape_of(value)])
    graph.insert_before(node, tape.nodes)
    return copy


def add_constant(graph: ir.Graph, value: ir.Value) -> None:
    number = len(graph.initializers)
    while f"constant_{number}" in graph.initializers:
        number += 1
    value.name = f"constant_{number}"
    graph.register_initializer(value)


def _remove_unread(graph: ir.Graph, node: ir.Node) -> None:
    pending = [node]
    while pending:
        node = pending.pop()
        if node.graph is not graph or any(value.uses() or value.is_graph_output() for value in node.outputs):
            continue
        sources = [value.producer() for value in node.inputs if value is not None]
        graph.remove(node, safe=True)
        pending += [source for source in sources if source is not None]

"""Elementwise operations that follow each other become one pass over memory."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.instructions import Code, Line, is_elementwise, write

MAX_INPUTS, MAX_LINES = 16, 256
LINES = 8  # of one node, at most
CHEAP = {"Add", "Sub", "Mul", "Div", "Neg", "Cast"}


@dataclass(frozen=True)
class Map:
    """One map: operands broadcast to the shape of `output`."""

    output: ir.Value
    operands: tuple[ir.Value, ...]
    code: tuple[Line, ...]
    nodes: int


@dataclass(eq=False)
class _Group:
    """Nodes that one map computes; leaves: what it reads."""

    root: ir.Node
    nodes: set[ir.Node]
    leaves: set[ir.Value]


def find_maps(graph: ir.Graph) -> dict[ir.Node, Map | None]:
    """Every elementwise node: with its map if it is the last of one, else None, as another's map computes it.

    A node joins the map of its users if they are all in the same one and of its shape. One cheap operation on one
    value is computed again wherever it is used rather than stored.
    """
    groups: dict[ir.Node, _Group] = {}
    again: set[ir.Node] = set()
    nodes = [node for node in graph if is_elementwise(node)]
    mine = set(nodes)
    for node in reversed(nodes):
        users = [user for user, _ in node.outputs[0].uses()]
        if not _is_stored(node.outputs[0], users, mine):
            around = {groups.get(user) for user in users}
            group = around.pop() if len(around) == 1 else None
            if group is not None and _may_join(node, group):
                group.nodes.add(node)
                group.leaves = (group.leaves - {node.outputs[0]}) | set(_leaves(node))
                groups[node] = group
                continue
            if _is_cheap(node):
                again.add(node)
                continue
        groups[node] = _Group(node, {node}, set(_leaves(node)))
    roots = {group.root: group for group in groups.values()}
    return {node: _map(roots[node], again) if node in roots else None for node in nodes}


def scalar_of(value: ir.Value) -> float | None:
    """The number that a constant of one element is."""
    constant = value.const_value
    return float(constant.numpy().reshape(-1)[0]) if constant is not None and constant.size == 1 else None


def _leaves(node: ir.Node) -> Iterable[ir.Value]:
    return (value for value in node.inputs if value is not None and scalar_of(value) is None)


def _is_stored(value: ir.Value, users: Iterable[ir.Node], elementwise: set[ir.Node]) -> bool:
    return value.is_graph_output() or any(user not in elementwise for user in users)


def _is_cheap(node: ir.Node) -> bool:
    return node.op_type in CHEAP and len(set(_leaves(node))) <= 1


def _may_join(node: ir.Node, group: _Group) -> bool:
    """Whether the node is of the map's size, and the map stays within the limits with it."""
    leaves = (group.leaves - {node.outputs[0]}) | set(_leaves(node))
    same_size = _size(node.outputs[0]) == _size(group.root.outputs[0])
    return same_size and len(leaves) <= MAX_INPUTS and (len(group.nodes) + 1) * LINES <= MAX_LINES // 2


def _size(value: ir.Value) -> int:
    assert value.shape is not None
    return prod(value.shape.numpy())


def _map(group: _Group, again: set[ir.Node]) -> Map:
    code, known = Code(), dict[ir.Value, int]()

    def register(value: ir.Value) -> int:
        number = scalar_of(value)
        if number is not None:
            return code.const(number)
        if value not in known:
            producer = value.producer()
            inside = producer is not None and (producer in group.nodes or producer in again)
            known[value] = emit(producer) if inside and producer is not None else code.operand(value)
        return known[value]

    def emit(node: ir.Node) -> int:
        return write(node, [None if value is None else register(value) for value in node.inputs], code)

    last = emit(group.root)
    lines = code.finished(last)
    if len(code.operands) > MAX_INPUTS or len(lines) > MAX_LINES:
        raise LoweringError(
            f"node {group.root.name}: a map of {len(code.operands)} inputs and {len(lines)} instructions, expected at "
            f"most {MAX_INPUTS} and {MAX_LINES}; the backend onnxruntime runs it"
        )
    return Map(group.root.outputs[0], tuple(code.operands), tuple(lines), len(group.nodes))

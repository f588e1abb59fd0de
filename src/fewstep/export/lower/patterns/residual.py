"""A residual added behind views of a product: the views of the residual undone, so that the product adds it."""

from math import prod

import onnx_ir as ir

from fewstep.export.lower.match import attribute, is_alone, orders, required, sole
from fewstep.export.lower.patterns.matmul import RESIDUAL, again
from fewstep.export.lower.tape import Tape, shape_of


def added_behind_views(node: ir.Node, tape: Tape) -> ir.Value | None:
    if node.op_type != "Add" or node.domain:
        return None
    for value, other in orders(node):
        views = _views(value)
        matmul = sole(required(views[-1], 0), "matmul") if views else None
        if matmul is None or matmul.inputs[RESIDUAL] is not None or prod(shape_of(other)) == 1:
            continue
        if shape_of(value) != shape_of(node.outputs[0]):
            continue
        residual = tape.expand(other, shape_of(value))
        for view in views:
            residual = _undone(view, residual, tape)
        y = again(matmul, tape, [*matmul.inputs[:RESIDUAL], residual])
        for view in reversed(views):
            y = _done(view, y, tape)
        return y
    return None


def _views(value: ir.Value) -> list[ir.Node]:
    """The views that made it, the last first."""
    found: list[ir.Node] = []
    node = value.producer()
    while node is not None and not node.domain and node.op_type in ("Reshape", "Transpose") and is_alone(value):
        found.append(node)
        value = required(node, 0)
        node = value.producer()
    return found


def _undone(view: ir.Node, value: ir.Value, tape: Tape) -> ir.Value:
    if view.op_type == "Reshape":
        return tape.reshape(value, shape_of(required(view, 0)))
    perm = list(attribute(view, "perm"))
    return tape.transpose(value, [perm.index(axis) for axis in range(len(perm))])


def _done(view: ir.Node, value: ir.Value, tape: Tape) -> ir.Value:
    if view.op_type == "Reshape":
        return tape.reshape(value, shape_of(view.outputs[0]))
    return tape.transpose(value, attribute(view, "perm"))

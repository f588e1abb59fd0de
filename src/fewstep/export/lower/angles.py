"""Angles are kept in float32: at 999 radians half precision knows them to a quarter, and their sine means nothing."""

import onnx_ir as ir

from fewstep.export.lower.instructions import is_elementwise
from fewstep.export.lower.view_ops import VIEW_OPS

WAVES = ("Sin", "Cos")


def angles(graph: ir.Graph) -> set[ir.Value]:
    """What sines and cosines are taken of, with the elementwise operations and views that it is computed by."""
    found: set[ir.Value] = set()
    due = [value for node in graph if node.op_type in WAVES for value in node.inputs]
    while due:
        value = due.pop()
        if value is None or value in found:
            continue
        found.add(value)
        node = value.producer()
        if node is not None and (is_elementwise(node) or node.op_type in VIEW_OPS):
            due += node.inputs
    return found

"""Arithmetic is fp32: every floating-point value of a fused graph is float32; how it is stored is decided later."""

import onnx_ir as ir

from fewstep.export.lower.constants import FLOATS, lazy_cast
from fewstep.export.lower.match import attribute, required
from fewstep.export.lower.rewrite import PassReport, rewrite
from fewstep.export.lower.tape import Tape, dtype_of, shape_of


def make_float32(graph: ir.Graph) -> PassReport:
    """Casts between floating-point types vanish, but for inputs and outputs of other types, which keep those."""
    before, count = graph.num_nodes(), 0
    borders = [value for value in graph.inputs if _is_other(value)]
    results = [(i, dtype_of(value)) for i, value in enumerate(graph.outputs) if _is_other(value)]
    for value in borders:
        tape = Tape(str(value.name))
        users = list(value.uses())
        inner = tape.cast(value, ir.DataType.FLOAT)
        graph.insert_before(graph[0], tape.nodes)
        for use in users:
            use.node.replace_input_with(use.idx, inner)
    for node in graph:
        for value in node.outputs:
            if _is_other(value):
                value.type = ir.TensorType(ir.DataType.FLOAT)
        if node.op_type == "Cast" and ir.DataType(attribute(node, "to")) in FLOATS:
            node.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT.value)
    for value in graph.initializers.values():
        if _is_other(value) and value.const_value is not None:
            value.const_value = lazy_cast(value.const_value, ir.DataType.FLOAT)
            value.type = ir.TensorType(ir.DataType.FLOAT)
            count += 1
    for i, dtype in results:
        value = graph.outputs[i]
        tape = Tape(str(value.name))
        outer = tape.cast(value, dtype)
        graph.extend(tape.nodes)
        outer.name, value.name = value.name, None
        graph.outputs[i] = outer
    report = rewrite(graph, "float32", [_drop_cast])
    return PassReport("float32", count + report.rewrites, before, report.after)


def _is_other(value: ir.Value) -> bool:
    return value.dtype in FLOATS and value.dtype != ir.DataType.FLOAT


def _drop_cast(node: ir.Node, tape: Tape) -> ir.Value | None:
    if node.op_type != "Cast" or node.domain:
        return None
    value = required(node, 0)
    return value if dtype_of(value) == dtype_of(node.outputs[0]) and shape_of(value) is not None else None

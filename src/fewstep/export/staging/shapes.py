"""The batch size read off one value is as good as off any other, so a shape ties no early stage to the state."""

import numpy as np
import onnx_ir as ir

BATCH = "B"


def is_batched(value: ir.Value) -> bool:
    """Whether the shape is known to be (B, and then whole numbers)."""
    shape = value.shape
    return shape is not None and len(shape) > 0 and shape[0] == BATCH and all(isinstance(n, int) for n in shape[1:])


def is_batch_size(node: ir.Node) -> bool:
    """Whether the node asks for a shape that is known but for B."""
    return node.op_type == "Shape" and node.inputs[0] is not None and is_batched(node.inputs[0])


def read_batch_off(graph: ir.Graph, anchor: ir.Value) -> None:
    """Every such node takes B from `anchor`, a batched value, and the rest from what is known; in place."""
    for node in [node for node in graph if is_batch_size(node)]:
        (value,) = node.inputs
        if value is anchor:
            continue
        assert value is not None and value.shape is not None
        bounds = [node.attributes[name].as_int() if name in node.attributes else None for name in ("start", "end")]
        wanted = range(len(value.shape))[slice(*bounds)]
        tape = ir.tape.Tape()
        parts = [tape.op("Shape", [anchor], {"start": 0, "end": 1})] if 0 in wanted else []
        sizes = ir.tensor(np.array([value.shape[axis] for axis in wanted if axis], np.int64))
        parts.append(tape.op("Constant", [], {"value": sizes}))
        whole = tape.op("Concat", parts, {"axis": 0})
        graph.insert_before(node, tape.nodes)
        ir.convenience.replace_all_uses_with(node.outputs[0], whole)
        graph.remove(node, safe=True)

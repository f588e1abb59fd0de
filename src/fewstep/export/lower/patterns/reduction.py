"""softmax and reduce: over trailing axes."""

import onnx_ir as ir

from fewstep.export.lower.match import attribute, operand, required, small_constant
from fewstep.export.lower.tape import Tape, shape_of

KINDS = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min"}
OF_SQUARES = {"ReduceL2": "Sqrt", "ReduceSumSquare": ""}


def softmax(node: ir.Node, tape: Tape) -> ir.Value | None:
    if node.op_type not in ("Softmax", "LogSoftmax") or node.domain:
        return None
    x = required(node, 0)
    rank = len(shape_of(x))
    axis = attribute(node, "axis", -1) % rank
    perm = [*range(axis), *range(axis + 1, rank), axis]
    last = tape.transpose(x, perm)
    y = tape.transpose(tape.fused("softmax", [last], shape_of(last)), [perm.index(i) for i in range(rank)])
    return y if node.op_type == "Softmax" else tape.elementwise("Log", y)


def reduce(node: ir.Node, tape: Tape) -> ir.Value | None:
    if (node.op_type not in KINDS and node.op_type not in OF_SQUARES) or node.domain:
        return None
    x = required(node, 0)
    rank = len(shape_of(x))
    given = attribute(node, "axes") if "axes" in node.attributes else small_constant(operand(node, 1))
    axes = sorted(int(axis) % rank for axis in given) if given is not None else []
    if not axes and attribute(node, "noop_with_empty_axes", 0):
        return x
    axes = axes or list(range(rank))
    kind = KINDS.get(node.op_type, "sum")
    y = reduced(tape.elementwise("Mul", x, x) if node.op_type in OF_SQUARES else x, axes, kind, tape)
    y = tape.elementwise("Sqrt", y) if OF_SQUARES.get(node.op_type) else y
    return tape.reshape(y, shape_of(node.outputs[0]))


def reduced(x: ir.Value, axes: list[int], kind: str, tape: Tape) -> ir.Value:
    shape = shape_of(x)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    last = tape.transpose(x, [*kept, *axes])
    attributes = {"kind": kind, "axes": len(axes)}
    return tape.fused("reduce", [last], tuple(shape[axis] for axis in kept), attributes)


def pool(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Pools whose windows cover the image without overlap."""
    if node.op_type not in POOLS or node.domain:
        return None
    x = required(node, 0)
    B, C, *sizes = shape_of(x)
    if node.op_type.startswith("Global"):
        mean = reduced(x, list(range(2, 2 + len(sizes))), POOLS[node.op_type], tape)
        return tape.reshape(mean, shape_of(node.outputs[0]))
    kernel = list(attribute(node, "kernel_shape"))
    plain = list(attribute(node, "strides", [1] * len(kernel))) == kernel and not any(attribute(node, "pads", []))
    fits = all(size % k == 0 for size, k in zip(sizes, kernel, strict=True))
    if not plain or not fits or set(attribute(node, "dilations", [1])) != {1} or len(node.outputs) > 1:
        return None
    apart = tape.reshape(x, (B, C, *(n for size, k in zip(sizes, kernel, strict=True) for n in (size // k, k))))
    windows = [3 + 2 * i for i in range(len(kernel))]
    return tape.reshape(reduced(apart, windows, POOLS[node.op_type], tape), shape_of(node.outputs[0]))


POOLS = {"GlobalAveragePool": "mean", "GlobalMaxPool": "max", "AveragePool": "mean", "MaxPool": "max"}

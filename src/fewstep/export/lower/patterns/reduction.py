"""softmax and reduce: over trailing axes."""

import numpy as np
import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.match import attribute, operand, required, small_constant
from fewstep.export.lower.tape import Tape, dtype_of, shape_of

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


def position(node: ir.Node, tape: Tape) -> ir.Value | None:
    """ArgMax and ArgMin: the first place along an axis at which the extreme is."""
    if node.op_type not in ("ArgMax", "ArgMin") or node.domain:
        return None
    if attribute(node, "select_last_index", 0):
        raise LoweringError.of(node, "it asks for the last of equal values; expected the first")
    x = tape.cast(required(node, 0), ir.DataType.FLOAT)
    shape = shape_of(x)
    axis = attribute(node, "axis", 0) % len(shape)
    kept = tuple(1 if i == axis else size for i, size in enumerate(shape))
    extreme = tape.reshape(reduced(x, [axis], "max" if node.op_type == "ArgMax" else "min", tape), kept)
    is_there = tape.node("Equal", [x, extreme], [shape], dtype=ir.DataType.BOOL)[0]
    places = np.arange(shape[axis], dtype=np.float32).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    place = tape.elementwise("Where", is_there, tape.constant(places), tape.scalar(shape[axis], x))
    first = tape.cast(reduced(place, [axis], "min", tape), ir.DataType.INT64)
    return tape.reshape(first, shape_of(node.outputs[0]))


def reduced(x: ir.Value, axes: list[int], kind: str, tape: Tape) -> ir.Value:
    """Truths and integers as floats, which plans have reductions of."""
    shape, dtype = shape_of(x), dtype_of(x)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    last = tape.transpose(tape.cast(x, ir.DataType.FLOAT), [*kept, *axes])
    attributes = {"kind": kind, "axes": len(axes)}
    return tape.cast(tape.fused("reduce", [last], tuple(shape[axis] for axis in kept), attributes), dtype)


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

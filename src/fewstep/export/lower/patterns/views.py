"""Operations that move elements and compute nothing, as Reshape, Transpose, Expand, Slice, Split and Concat."""

from math import prod

import numpy as np
import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.match import attribute, operand, producer, required, scalar, small_constant
from fewstep.export.lower.tape import SMALL, Tape, dtype_of, shape_of

SAME_ORDER = {"Reshape", "Squeeze", "Unsqueeze", "Flatten"}
WITHOUT_EFFECT = {"Identity", "Dropout", "Expand", "Transpose", "Slice", "Concat"}


def same_order(node: ir.Node, tape: Tape) -> ir.Value | None:
    """A Reshape with every size, of a value that is no Reshape, which it is not the shape of already."""
    if node.op_type not in SAME_ORDER or node.domain:
        return None
    value, shape = required(node, 0), shape_of(node.outputs[0])
    while (before := producer(value, "Reshape")) is not None:
        value = required(before, 0)
    if shape == shape_of(value):
        return value
    sizes = small_constant(operand(node, 1))
    if value.const_value is not None and prod(shape) <= SMALL:
        return tape.reshape(value, shape)
    stays = node.op_type == "Reshape" and not node.attributes and value is node.inputs[0] and sizes is not None
    return None if stays and tuple(sizes.tolist()) == shape else tape.reshape(value, shape)  # type: ignore[union-attr]


def without_effect(node: ir.Node, tape: Tape) -> ir.Value | None:
    """What gives its input as it is."""
    if node.op_type not in WITHOUT_EFFECT or node.domain or not node.inputs:
        return None
    value = required(node, 0)
    if node.outputs[0].is_graph_output() and node.op_type == "Identity":
        return value if value.producer() is not None and not value.is_graph_output() else None
    if node.op_type == "Concat" and len(node.inputs) > 1:
        return None
    if shape_of(value) != shape_of(node.outputs[0]):
        return None
    if node.op_type == "Transpose" and not _is_ordered(node):
        return None
    if node.op_type == "Slice" and _steps(node) != {1}:
        return None
    return value if node.op_type != "Dropout" or not node.outputs[1:] or not node.outputs[1].uses() else None


def _is_ordered(node: ir.Node) -> bool:
    """Whether no axis but those of size 1 changes places."""
    shape = shape_of(required(node, 0))
    moved = [axis for axis in _perm(node) if shape[axis] != 1]
    return moved == sorted(moved)


def _perm(node: ir.Node) -> list[int]:
    default = list(range(len(shape_of(node.outputs[0]))))[::-1]
    return list(attribute(node, "perm", default))


def _steps(node: ir.Node) -> set[int]:
    steps = small_constant(operand(node, 4))
    return {1} if steps is None else set(steps.tolist())


def transpose(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Two become one; one that only moves axes of size 1 is a Reshape."""
    if node.op_type != "Transpose" or node.domain:
        return None
    value, perm = required(node, 0), _perm(node)
    if (before := producer(value, "Transpose")) is not None:
        return tape.transpose(required(before, 0), [_perm(before)[axis] for axis in perm])
    if _is_ordered(node):
        return tape.reshape(value, shape_of(node.outputs[0]))
    return None if "perm" in node.attributes else tape.transpose(value, perm)


def expand(node: ir.Node, tape: Tape) -> ir.Value | None:
    """With the whole shape; Tile of axes as Expand."""
    if node.op_type not in ("Expand", "Tile") or node.domain:
        return None
    value, shape = required(node, 0), shape_of(node.outputs[0])
    if node.op_type == "Expand":
        sizes = small_constant(operand(node, 1))
        return None if sizes is not None and tuple(sizes.tolist()) == shape else tape.expand(value, shape)
    own = shape_of(value)
    apart = tape.reshape(value, [size for n in own for size in (1, n)])
    repeated = tape.expand(apart, [size for n, whole in zip(own, shape, strict=True) for size in (whole // n, n)])
    return tape.reshape(repeated, shape)


def gather(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Constant indices that follow each other are a Slice, others and any that are computed are rows of a table."""
    if node.op_type != "Gather" or node.domain:
        return None
    value, indices, out = required(node, 0), required(node, 1), shape_of(node.outputs[0])
    shape, axis = shape_of(value), attribute(node, "axis", 0) % len(shape_of(value))
    known = small_constant(indices)
    if known is not None:
        flat = np.where(known < 0, known + shape[axis], known).reshape(-1)
        steps = set(np.diff(flat).tolist())
        if len(flat) == 1 or (len(steps) == 1 and min(steps) > 0):
            step = steps.pop() if steps else 1
            return tape.reshape(tape.slice(value, axis, int(flat[0]), int(flat[-1]) + 1, step), out)
        indices = tape.constant(flat.reshape(known.shape).astype(np.int64))
    rank, count = len(shape), len(shape_of(indices))
    table = tape.transpose(value, [axis, *(a for a in range(rank) if a != axis)])
    found = rows(table, tape.cast(indices, ir.DataType.INT64), tape)
    return tape.transpose(found, [*range(count, count + axis), *range(count), *range(count + axis, len(out))])


def rows(table: ir.Value, indices: ir.Value, tape: Tape) -> ir.Value:
    """Truths and integers are gathered as floats, which plans have tables of."""
    floats = tape.cast(table, ir.DataType.FLOAT)
    return tape.cast(tape.fused("gather", [floats, indices], shape_of(indices) + shape_of(table)[1:]), dtype_of(table))


def slice(node: ir.Node, tape: Tape) -> ir.Value | None:
    """One axis at a time, bounds within the shape; backwards by rows of a table."""
    if node.op_type != "Slice" or node.domain or (len(node.inputs) == 5 and _is_plain(node)):
        return None
    value = required(node, 0)
    shape = shape_of(value)
    starts, ends, axes, steps = (small_constant(operand(node, i)) for i in range(1, 5))
    if starts is None or ends is None:
        raise LoweringError.of(node, "its bounds are not constant")
    axes = np.arange(len(starts)) if axes is None else axes % len(shape)
    steps = np.ones_like(starts) if steps is None else steps
    for start, end, axis, step in zip(*(a.tolist() for a in (starts, ends, axes, steps)), strict=True):
        taken = range(shape[axis])[start:end:step] if end >= -shape[axis] else range(shape[axis])[start::step]
        if not taken:
            raise LoweringError.of(node, "it takes nothing")
        if step > 0:
            value = tape.slice(value, axis, taken[0], taken[-1] + 1, step)
            continue
        rest = [a for a in range(len(shape)) if a != axis]
        table = tape.transpose(value, [axis, *rest])
        rows = tape.fused("gather", [table, tape.integers(taken)], (len(taken), *shape_of(table)[1:]))
        value = tape.transpose(rows, [*range(1, axis + 1), 0, *range(axis + 1, len(shape))])
    return value


def _is_plain(node: ir.Node) -> bool:
    shape = shape_of(required(node, 0))
    numbers = [small_constant(value) for value in node.inputs[1:]]
    if any(array is None or array.size != 1 for array in numbers):
        return False
    start, end, axis, step = (int(array.reshape(())) for array in numbers if array is not None)
    return 0 <= start < end <= shape[axis] and axis >= 0 and step > 0


def split(node: ir.Node, tape: Tape) -> list[ir.Value] | None:
    """With its sizes."""
    axis = attribute(node, "axis", 0)
    if node.op_type != "Split" or node.domain or (operand(node, 1) is not None and axis >= 0):
        return None
    shapes = [shape_of(value) for value in node.outputs]
    axis %= len(shapes[0])
    sizes = tape.integers([shape[axis] for shape in shapes])
    return list(tape.node("Split", [required(node, 0), sizes], shapes, {"axis": axis}))


def concat(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Its axis counted from the front."""
    axis = attribute(node, "axis", 0)
    if node.op_type != "Concat" or node.domain or (axis >= 0 and all(_has_any(value) for value in node.inputs)):
        return None
    parts = [value for value in node.inputs if value is not None and _has_any(value)]
    return tape.concat(parts, axis % len(shape_of(node.outputs[0])))


def _has_any(value: ir.Value | None) -> bool:
    return value is not None and prod(shape_of(value)) > 0


def slice_of_concat(node: ir.Node, tape: Tape) -> ir.Value | None:
    """A Slice that lies in one part of a Concat is of that part."""
    joined = producer(operand(node, 0), "Concat") if node.op_type == "Slice" and not node.domain else None
    if joined is None or len(node.inputs) != 5 or not _is_plain(node):
        return None
    start, end, axis, step = (int(scalar(operand(node, i)) or 0) for i in range(1, 5))
    if attribute(joined, "axis") != axis:
        return None
    for value in joined.inputs:
        assert value is not None
        size = shape_of(value)[axis]
        if 0 <= start < end <= size:
            return tape.slice(value, axis, start, end, step)
        start, end = start - size, end - size
    return None


def blocks(node: ir.Node, tape: Tape) -> ir.Value | None:
    """DepthToSpace and SpaceToDepth."""
    if node.op_type not in ("DepthToSpace", "SpaceToDepth") or node.domain:
        return None
    value, n = required(node, 0), attribute(node, "blocksize")
    B, C, H, W = shape_of(value)
    if node.op_type == "SpaceToDepth":
        apart = tape.reshape(value, (B, C, H // n, n, W // n, n))
        return tape.reshape(tape.transpose(apart, (0, 3, 5, 1, 2, 4)), shape_of(node.outputs[0]))
    channels_first = attribute(node, "mode", "DCR") == "CRD"
    apart = tape.reshape(value, (B, C // n**2, n, n, H, W) if channels_first else (B, n, n, C // n**2, H, W))
    perm = (0, 1, 4, 2, 5, 3) if channels_first else (0, 3, 4, 1, 5, 2)
    return tape.reshape(tape.transpose(apart, perm), shape_of(node.outputs[0]))

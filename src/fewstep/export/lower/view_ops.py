"""ONNX's view operations on views: a view of the input, or None where the elements have to be moved."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.views import View

VIEW_OPS = {"Reshape", "Transpose", "Slice", "Split", "Squeeze", "Unsqueeze", "Expand", "Identity"}
RESHAPES = {"Reshape", "Squeeze", "Unsqueeze", "Identity"}


def shape_of(value: ir.Value) -> tuple[int, ...]:
    if value.shape is None or not value.shape.is_static():
        raise LoweringError(f"value {value.name}: expected a shape of whole numbers, got {value.shape}")
    return tuple(value.shape.numpy())


def view_of(node: ir.Node, source: View, output: ir.Value) -> View | None:
    """What `output`, one of the node's, is of its first input."""
    shape = shape_of(output)
    if node.op_type in RESHAPES:
        return source.reshaped(shape)
    if node.op_type == "Transpose":
        return source.permuted(permutation(node, len(shape)))
    if node.op_type == "Expand":
        return source.expanded(shape)
    if node.op_type == "Split":
        axis = _axis(node, len(shape))
        start = sum(shape_of(before)[axis] for before in node.outputs[: node.outputs.index(output)])
        return source.sliced(axis, start, shape[axis])
    for cut in _cuts(node, source.shape):
        source = source.sliced(cut.axis, cut.start, cut.size, cut.step)
    return source


def source_of(node: ir.Node, target: View) -> View | None:
    """A view of the node's input such that its output is `target`: view_of the other way, where there is one."""
    (value, *_) = node.inputs
    assert value is not None
    if node.op_type in RESHAPES:
        return target.reshaped(shape_of(value))
    if node.op_type == "Transpose":
        axes = permutation(node, len(target.shape))
        return target.permuted([axes.index(axis) for axis in range(len(axes))])
    return None


def permutation(node: ir.Node, rank: int) -> Sequence[int]:
    given = node.attributes.get("perm")
    return tuple(reversed(range(rank))) if given is None else tuple(given.as_ints())


def concat_axis(node: ir.Node) -> int:
    return node.attributes["axis"].as_int() % len(shape_of(node.outputs[0]))


def _axis(node: ir.Node, rank: int) -> int:
    given = node.attributes.get("axis")
    return 0 if given is None else given.as_int() % rank


@dataclass(frozen=True)
class _Cut:
    axis: int
    start: int
    size: int
    step: int


def _cuts(node: ir.Node, shape: Sequence[int]) -> list[_Cut]:
    """What a Slice takes of each axis."""
    starts, ends, axes, steps = ([*map(_constant, node.inputs[1:]), None, None, None, None])[:4]
    assert starts is not None and ends is not None
    cuts = []
    for axis, start, end, step in zip(
        range(len(starts)) if axes is None else axes,
        starts,
        ends,
        [1] * len(starts) if steps is None else steps,
        strict=True,
    ):
        taken = range(*slice(start, end, step).indices(shape[axis]))
        if step < 1:
            raise LoweringError(f"node {node.name}: Slice: expected steps of 1 and more, got {step}")
        cuts.append(_Cut(axis % len(shape), taken.start, len(taken), step))
    return cuts


def _constant(value: ir.Value | None) -> list[int] | None:
    if value is None:
        return None
    if value.const_value is None:
        raise LoweringError(f"value {value.name}: expected a constant, as views have constant arguments")
    return [int(n) for n in value.const_value.numpy().reshape(-1)]

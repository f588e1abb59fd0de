"""layer_norm and rms_norm: the operations of ONNX, primitives, and the products and sums that follow."""

from math import prod

import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.match import (
    attribute,
    is_all,
    is_alone,
    is_along,
    is_constant,
    is_same,
    operand,
    orders,
    producer,
    required,
    scalar,
    small_constant,
    sole,
    with_scalar,
)
from fewstep.export.lower.tape import FUSED, Tape, shape_of

NORMS = ("layer_norm", "rms_norm")
X, WEIGHT, BIAS, SCALE, SHIFT = range(5)
KINDS = {"LayerNormalization": "layer_norm", "RMSNormalization": "rms_norm"}


def standard(node: ir.Node, tape: Tape) -> ir.Value | None:
    """The operations of ONNX; several axes become one."""
    if node.op_type not in KINDS or node.domain:
        return None
    if any(value.uses() for value in node.outputs[1:]):
        raise LoweringError.of(node, "its mean or deviation is read")
    x = required(node, 0)
    shape = shape_of(x)
    axis = attribute(node, "axis", -1) % len(shape)
    rows = (*shape[:axis], prod(shape[axis:]))
    weight, bias = (v and _row(v, shape[axis:], tape) for v in (operand(node, 1), operand(node, 2)))
    weight, bias = None if is_all(weight, 1) else weight, None if is_all(bias, 0) else bias
    eps = {"eps": float(attribute(node, "epsilon", 1e-5))}
    y = tape.fused(KINDS[node.op_type], [tape.reshape(x, rows), weight, bias, None, None], rows, eps)
    made = tape.reshape(y, shape)
    return made if len(node.outputs) == 1 else None


def _row(value: ir.Value, shape: tuple[int, ...], tape: Tape) -> ir.Value:
    return tape.reshape(tape.expand(value, shape), (prod(shape),))


def primitive(node: ir.Node, tape: Tape) -> ir.Value | None:
    """d * rsqrt(mean(d d) + eps), where d is x for rms_norm and x - mean(x) for layer_norm, over trailing axes."""
    if node.op_type not in ("Mul", "Div") or node.domain:
        return None
    for d, factor in orders(node):
        found = _variance(node, d, factor)
        if found is None:
            continue
        eps, axes = found
        x = _centred(d, axes) or d
        shape = shape_of(x)
        if len(shape) - axes < 1 or shape != shape_of(node.outputs[0]):
            continue
        rows = (*shape[: len(shape) - axes], prod(shape[len(shape) - axes :]))
        kind = "rms_norm" if x is d else "layer_norm"
        y = tape.fused(kind, [tape.reshape(x, rows), None, None, None, None], rows, {"eps": eps})
        return tape.reshape(y, shape)
    return None


def _variance(node: ir.Node, d: ir.Value, factor: ir.Value) -> tuple[float, int] | None:
    """eps, and how many trailing axes the mean is over."""
    root = producer(factor, "rsqrt", FUSED) if node.op_type == "Mul" else producer(factor, "Sqrt")
    total = with_scalar(required(root, 0).producer(), "Add") if root else None
    if total is None or (node.op_type == "Div" and factor is not node.inputs[1]):
        return None
    mean, eps = total
    square = _mean(mean)
    if square is None:
        return None
    value, axes = square
    product = producer(value, "Mul")
    if product is None or not all(_is_as(required(product, i), d, axes) for i in (0, 1)):
        return None
    return eps, axes


def _is_as(a: ir.Value, b: ir.Value, axes: int) -> bool:
    """The same value, or x - mean(x) of the same x."""
    return a is b or (is_same(_centred(a, axes), _centred(b, axes)))


def _centred(d: ir.Value, axes: int) -> ir.Value | None:
    difference = producer(d, "Sub")
    mean = _mean(required(difference, 1)) if difference else None
    return mean[0] if difference and mean and mean == (difference.inputs[0], axes) else None


def _mean(value: ir.Value) -> tuple[ir.Value, int] | None:
    """What it is the mean of, and over how many trailing axes, which are kept."""
    node = producer(value, "ReduceMean")
    if node is None or not attribute(node, "keepdims", 1):
        return None
    x = required(node, 0)
    rank = len(shape_of(x))
    given = attribute(node, "axes") if "axes" in node.attributes else small_constant(operand(node, 1))
    axes = sorted(int(axis) % rank for axis in given) if given is not None else list(range(rank))
    return (x, len(axes)) if axes and axes == list(range(rank - len(axes), rank)) else None


def affine(node: ir.Node, tape: Tape) -> ir.Value | None:
    """A weight or bias along D, then a modulation of x's shape, taken into the norm before."""
    if node.op_type not in ("Mul", "Add") or node.domain:
        return None
    for y, other in orders(node):
        norm = sole(y, *NORMS)
        if norm is None or shape_of(y) != shape_of(node.outputs[0]):
            continue
        inputs = _product(norm, other, tape) if node.op_type == "Mul" else _sum(norm, other, tape)
        if inputs is not None:
            tape.name = norm.name or tape.name
            return tape.fused(norm.op_type, inputs, shape_of(y), norm.attributes)
    return None


def _product(norm: ir.Node, other: ir.Value, tape: Tape) -> list[ir.Value | None] | None:
    x, weight, bias, scale, shift = norm.inputs
    if scale is not None or shift is not None:
        return None
    shape = shape_of(norm.outputs[0])
    if bias is None and is_constant(other) and is_along(shape_of(other), len(shape), -1, shape[-1]):
        row = tape.reshape(other, shape[-1:])
        return [x, row if weight is None else tape.product(weight, row), None, None, None]
    plus_one = with_scalar(other.producer(), "Add")
    if plus_one is None or plus_one[1] != 1:
        return None
    return [x, weight, bias, tape.expand(plus_one[0], shape), None]


def _sum(norm: ir.Node, other: ir.Value, tape: Tape) -> list[ir.Value | None] | None:
    x, weight, bias, scale, shift = norm.inputs
    shape = shape_of(norm.outputs[0])
    is_row = is_constant(other) and is_along(shape_of(other), len(shape), -1, shape[-1])
    if scale is None and bias is None and is_row:
        return [x, weight, tape.reshape(other, shape[-1:]), None, None]
    if shift is not None or scale is None or scalar(other) is not None:
        return None
    return [x, weight, bias, scale, tape.expand(other, shape)]


def flattened(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Reshape(norm(Reshape(x))) with the same last axis is norm(x): a Reshape that goes nowhere."""
    norm = sole(operand(node, 0), *NORMS) if node.op_type == "Reshape" and not node.domain else None
    before = producer(norm.inputs[X], "Reshape") if norm else None
    if norm is None or before is None or any(norm.inputs[SCALE:]) or not is_alone(norm.outputs[0]):
        return None
    x = required(before, 0)
    shape = shape_of(x)
    if shape != shape_of(node.outputs[0]) or shape[-1] != shape_of(norm.outputs[0])[-1]:
        return None
    tape.name = norm.name or tape.name
    return tape.fused(norm.op_type, [x, *norm.inputs[1:]], shape, norm.attributes)

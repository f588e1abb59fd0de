"""group_norm: InstanceNormalization between Reshapes, GroupNormalization, primitives, and what follows them."""

import numpy as np
import onnx_ir as ir

from fewstep.export.lower.match import (
    attribute,
    is_all,
    is_alone,
    is_along,
    is_constant,
    operand,
    orders,
    producer,
    required,
    small_constant,
    sole,
    with_scalar,
)
from fewstep.export.lower.tape import FUSED, Tape, shape_of

X, WEIGHT, BIAS, SCALE, SHIFT, RESIDUAL = range(6)
PER_CHANNEL = 21  # the opset since which GroupNormalization's scale and bias are per channel
ACTIVATIONS = {"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_tanh"}
CURVES = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}


def activation_of(node: ir.Node) -> str | None:
    """The activation that this node computes."""
    return (
        ACTIVATIONS.get(node.op_type) if node.domain == FUSED else CURVES.get(node.op_type) if not node.domain else None
    )


def _attributes(groups: int, eps: float) -> dict[str, int | float | str]:
    return {"groups": groups, "eps": eps, "activation": ""}


def standard(node: ir.Node, tape: Tape) -> ir.Value | None:
    """The operations of ONNX."""
    if node.op_type not in ("InstanceNormalization", "GroupNormalization") or node.domain:
        return None
    x, weight, bias = (required(node, i) for i in range(3))
    shape = shape_of(x)
    groups = attribute(node, "num_groups", shape[1])
    weight, bias = (_per_channel(value, shape[1], tape) for value in (weight, bias))
    eps = float(attribute(node, "epsilon", 1e-5))
    inputs = [x, None if is_all(weight, 1) else weight, None if is_all(bias, 0) else bias, None, None, None]
    return tape.fused("group_norm", inputs, shape, _attributes(groups, eps))


def _per_channel(value: ir.Value, channels: int, tape: Tape) -> ir.Value:
    """Per group, each as often as its group has channels."""
    (count,) = shape_of(value)
    if count == channels:
        return value
    wide = tape.expand(tape.reshape(value, (count, 1)), (count, channels // count))
    known = small_constant(value)
    return tape.constant(np.repeat(known, channels // count)) if known is not None else tape.reshape(wide, (channels,))


def reshaped(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Of (B, G, ...) made by a Reshape and undone by another: groups of the channels before."""
    norm = sole(operand(node, 0), "group_norm", "layer_norm") if node.op_type == "Reshape" and not node.domain else None
    before = producer(norm.inputs[X], "Reshape") if norm else None
    if norm is None or before is None or any(norm.inputs[WEIGHT:]):
        return None
    x, y, shape = required(before, 0), shape_of(norm.outputs[0]), shape_of(node.outputs[0])
    if len(shape) < 3 or shape_of(x)[:2] != shape[:2] or len(y) < 3 or y[0] != shape[0] or shape[1] % y[1]:
        return None
    if norm.op_type == "layer_norm" and len(y) != 3:
        return None
    if norm.op_type == "group_norm" and (
        norm.attributes["groups"].value != y[1] or norm.attributes["activation"].value
    ):
        return None
    tape.name = norm.name or tape.name
    return tape.fused(
        "group_norm", [tape.reshape(x, shape), *[None] * 5], shape, _attributes(y[1], norm.attributes["eps"].as_float())
    )


def affine(node: ir.Node, tape: Tape) -> ir.Value | None:
    """A weight or bias per channel, then (1 + scale) and shift per image and channel, taken into the norm before."""
    if node.op_type not in ("Mul", "Add") or node.domain:
        return None
    for y, other in orders(node):
        norm = sole(y, "group_norm")
        if norm is None or norm.attributes["activation"].value or shape_of(y) != shape_of(node.outputs[0]):
            continue
        inputs = _product(norm, other, tape) if node.op_type == "Mul" else _sum(norm, other, tape)
        if inputs is not None:
            tape.name = norm.name or tape.name
            return tape.fused("group_norm", inputs, shape_of(y), norm.attributes)
    return None


def _product(norm: ir.Node, other: ir.Value, tape: Tape) -> list[ir.Value | None] | None:
    x, weight, bias, scale, shift, residual = norm.inputs
    shape = shape_of(norm.outputs[0])
    if scale is not None or shift is not None:
        return None
    if bias is None and is_constant(other) and is_along(shape_of(other), len(shape), 1, shape[1]):
        row = tape.reshape(other, shape[1:2])
        return [x, row if weight is None else tape.product(weight, row), None, None, None, residual]
    plus_one = with_scalar(other.producer(), "Add")
    if plus_one is None or plus_one[1] != 1:
        return None
    per_image = image_row(plus_one[0], shape, tape)
    return None if per_image is None else [x, weight, bias, per_image, None, residual]


def _sum(norm: ir.Node, other: ir.Value, tape: Tape) -> list[ir.Value | None] | None:
    x, weight, bias, scale, shift, residual = norm.inputs
    shape = shape_of(norm.outputs[0])
    is_row = is_constant(other) and is_along(shape_of(other), len(shape), 1, shape[1])
    if scale is None and shift is None and bias is None and is_row:
        return [x, weight, tape.reshape(other, shape[1:2]), None, None, residual]
    per_image = image_row(other, shape, tape) if shift is None and scale is not None else None
    return None if per_image is None else [x, weight, bias, scale, per_image, residual]


def image_row(value: ir.Value, shape: tuple[int, ...], tape: Tape) -> ir.Value | None:
    """(B, C) of a value that is the same at every pixel of (B, C, ...), or None."""
    own = shape_of(value)
    if len(own) != len(shape) or own[1] != shape[1] or own[0] not in (1, shape[0]) or set(own[2:]) - {1}:
        return None
    return tape.expand(tape.reshape(value, own[:2]), shape[:2])


def activated(node: ir.Node, tape: Tape) -> ir.Value | None:
    activation = activation_of(node)
    norm = sole(operand(node, 0), "group_norm") if activation else None
    if norm is None or norm.attributes["activation"].value:
        return None
    tape.name = norm.name or tape.name
    attributes = {**norm.attributes, "activation": activation}
    return tape.fused("group_norm", norm.inputs, shape_of(node.outputs[0]), attributes)


def summed(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Of a sum that nobody else reads: the norm adds."""
    if node.op_type != "group_norm" or node.domain != FUSED or node.inputs[RESIDUAL] is not None:
        return None
    x = required(node, X)
    total = producer(x, "Add") if is_alone(x) else None
    if total is None or any(shape_of(required(total, i)) != shape_of(x) for i in (0, 1)):
        return None
    inputs = [total.inputs[0], *node.inputs[WEIGHT:RESIDUAL], total.inputs[1]]
    return tape.fused("group_norm", inputs, shape_of(x), node.attributes)

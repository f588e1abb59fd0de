"""matmul: MatMul and Gemm, then scale, bias, activation, gated halves, gate and residual as they follow."""

from collections.abc import Sequence
from math import prod

import numpy as np
import onnx_ir as ir

from fewstep.export.lower.match import (
    attribute,
    is_alone,
    is_along,
    is_constant,
    operand,
    orders,
    producer,
    required,
    scalar,
    sole,
    with_scalar,
)
from fewstep.export.lower.patterns.group_norm import activation_of
from fewstep.export.lower.tape import Tape, shape_of

A, B, BIAS, GATE, RESIDUAL = range(5)
PLAIN = {"activation": "", "scale": 1.0, "glu": ""}


def standard(node: ir.Node, tape: Tape) -> ir.Value | None:
    """MatMul of any ranks."""
    if node.op_type != "MatMul" or node.domain:
        return None
    a, b = required(node, 0), required(node, 1)
    if len(shape_of(a)) == 1:
        a = tape.reshape(a, (1, *shape_of(a)))
    if len(shape_of(b)) == 1:
        b = tape.reshape(b, (*shape_of(b), 1))
    return tape.reshape(product(a, b, tape), shape_of(node.outputs[0]))


def product(a: ir.Value, b: ir.Value, tape: Tape, scale: float = 1.0) -> ir.Value:
    (*front_a, M, K), (*front_b, _, N) = shape_of(a), shape_of(b)
    front = np.broadcast_shapes(tuple(front_a), tuple(front_b))
    a, b = tape.expand(a, (*front, M, K)), tape.expand(b, (*front, K, N))
    return tape.fused("matmul", [a, b, None, None, None], (*front, M, N), {**PLAIN, "scale": scale})


def gemm(node: ir.Node, tape: Tape) -> ir.Value | None:
    if node.op_type != "Gemm" or node.domain:
        return None
    a, b = required(node, 0), required(node, 1)
    a = tape.swap(a) if attribute(node, "transA", 0) else a
    b = tape.swap(b) if attribute(node, "transB", 0) else b
    y, added = product(a, b, tape, float(attribute(node, "alpha", 1.0))), operand(node, 2)
    if added is None:
        return y
    beta = float(attribute(node, "beta", 1.0))
    return tape.elementwise("Add", y, added if beta == 1 else tape.product(added, tape.scalar(beta, added)))


def scaled(node: ir.Node, tape: Tape) -> ir.Value | None:
    found = with_scalar(node, "Mul")
    matmul = sole(found[0], "matmul") if found else None
    if matmul is None or found is None or any(matmul.inputs[BIAS:]) or matmul.attributes["activation"].value:
        return None
    scale = matmul.attributes["scale"].as_float() * found[1]
    return again(matmul, tape, matmul.inputs, {"scale": scale})


def biased(node: ir.Node, tape: Tape) -> ir.Value | None:
    """A row of N added, through a Reshape of what comes before N."""
    if node.op_type != "Add" or node.domain:
        return None
    for y, other in orders(node):
        matmul = sole(y, "matmul")
        if matmul is None or shape_of(y) != shape_of(node.outputs[0]) or any(matmul.inputs[BIAS:]):
            continue
        N = shape_of(y)[-1]
        if matmul.attributes["activation"].value or not is_along(shape_of(other), len(shape_of(y)), -1, N):
            continue
        if N == 1 and not is_constant(other):
            continue
        inputs = [*matmul.inputs[:BIAS], tape.reshape(other, (N,)), None, None]
        return again(matmul, tape, inputs)
    return None


def activated(node: ir.Node, tape: Tape) -> ir.Value | None:
    activation = activation_of(node)
    matmul = sole(operand(node, 0), "matmul") if activation else None
    if matmul is None or matmul.attributes["activation"].value or any(matmul.inputs[GATE:]):
        return None
    return again(matmul, tape, matmul.inputs, {"activation": activation})


def halves(node: ir.Node, tape: Tape) -> ir.Value | None:
    """One half of the columns times an activation of the other."""
    if node.op_type != "Mul" or node.domain:
        return None
    for value, active in orders(node):
        curve = active.producer()
        activation = activation_of(curve) if curve is not None and is_alone(active) else None
        gate = required(curve, 0) if curve is not None and activation else None
        split = producer(value, "Split")
        if gate is None or split is None or gate.producer() is not split or gate is value:
            continue
        matmul = sole(split.inputs[0], "matmul")
        last = len(shape_of(value)) - 1
        if matmul is None or len(split.outputs) != 2 or attribute(split, "axis") != last:
            continue
        if any(matmul.inputs[GATE:]) or matmul.attributes["activation"].value or not _is_weight(required(matmul, B)):
            continue
        if not (is_alone(value) and is_alone(gate) and shape_of(value) == shape_of(gate)):
            continue
        glu = "value_first" if split.outputs[0] is value else "gate_first"
        return again(matmul, tape, matmul.inputs, {"activation": activation, "glu": glu}, shape_of(value))
    return None


def _is_weight(value: ir.Value) -> bool:
    node = value.producer()
    if node is not None and node.op_type in ("Transpose", "Expand", "Reshape") and not node.domain:
        return _is_weight(required(node, 0))
    return is_constant(value)


def gated(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Times anything of its shape."""
    if node.op_type != "Mul" or node.domain:
        return None
    for y, other in orders(node):
        matmul = sole(y, "matmul")
        if matmul is None or any(matmul.inputs[GATE:]) or shape_of(y) != shape_of(node.outputs[0]):
            continue
        if scalar(other) is None:
            inputs = [*matmul.inputs[:GATE], tape.expand(other, shape_of(y)), None]
            return again(matmul, tape, inputs)
    return None


def added(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Plus anything of its shape."""
    if node.op_type != "Add" or node.domain:
        return None
    for y, other in orders(node):
        matmul = sole(y, "matmul")
        if matmul is None or matmul.inputs[RESIDUAL] is not None or shape_of(y) != shape_of(node.outputs[0]):
            continue
        if prod(shape_of(other)) > 1:
            return again(matmul, tape, [*matmul.inputs[:RESIDUAL], tape.expand(other, shape_of(y))])
    return None


def again(
    matmul: ir.Node,
    tape: Tape,
    inputs: Sequence[ir.Value | None],
    changed: dict[str, str | float | None] | None = None,
    shape: tuple[int, ...] | None = None,
) -> ir.Value:
    tape.name = matmul.name or tape.name
    return tape.fused("matmul", inputs, shape or shape_of(matmul.outputs[0]), {**matmul.attributes, **(changed or {})})

"""Elementwise operations as those that a map's code has, in one form of each."""

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from fewstep.export.lower.match import attribute, is_all, operand, orders, producer, required, scalar
from fewstep.export.lower.tape import FUSED, Tape, dtype_of, shape_of

DIVISOR = "divisor"  # of a node that stands for a quotient
VARIADIC = {"Sum": "Add", "Max": "Max", "Min": "Min", "Mean": "Add"}


def decompose(node: ir.Node, tape: Tape) -> ir.Value | None:
    if node.domain:
        return None
    if node.op_type in VARIADIC:
        return _variadic(node, tape)
    if node.op_type in ONE_OPERAND:
        return ONE_OPERAND[node.op_type](node, required(node, 0), tape)
    return None


def _variadic(node: ir.Node, tape: Tape) -> ir.Value | None:
    first, *others = [required(node, i) for i in range(len(node.inputs))]
    if len(others) == 1 and node.op_type in ("Max", "Min"):
        return None
    for other in others:
        first = tape.elementwise(VARIADIC[node.op_type], first, other)
    return tape.elementwise("Mul", first, tape.scalar(1 / len(node.inputs), first)) if node.op_type == "Mean" else first


def _clip(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value:
    for op_type, bound in (("Max", operand(node, 1)), ("Min", operand(node, 2))):
        if bound is not None:
            x = tape.elementwise(op_type, x, bound)
    return x


def _between(x: ir.Value, low: float, high: float, tape: Tape) -> ir.Value:
    return tape.elementwise("Min", tape.elementwise("Max", x, tape.scalar(low, x)), tape.scalar(high, x))


def _hard_sigmoid(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value:
    alpha, beta = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
    line = tape.elementwise("Add", tape.elementwise("Mul", x, tape.scalar(alpha, x)), tape.scalar(beta, x))
    return _between(line, 0, 1, tape)


def _hard_swish(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value:
    line = tape.elementwise("Add", tape.elementwise("Mul", x, tape.scalar(1 / 6, x)), tape.scalar(0.5, x))
    return tape.elementwise("Mul", x, _between(line, 0, 1, tape))


def _leaky(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value:
    slope = operand(node, 1) if node.op_type == "PRelu" else tape.scalar(attribute(node, "alpha", 0.01), x)
    assert slope is not None
    zero = tape.scalar(0, x)
    below = tape.elementwise("Mul", tape.elementwise("Min", x, zero), slope)
    return tape.elementwise("Add", tape.elementwise("Max", x, zero), below)


def _elu(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value:
    selu = node.op_type == "Selu"
    alpha = attribute(node, "alpha", 1.6732632423543772 if selu else 1.0)
    zero, one = tape.scalar(0, x), tape.scalar(1, x)
    curve = tape.elementwise("Sub", tape.elementwise("Exp", tape.elementwise("Min", x, zero)), one)
    whole = tape.elementwise(
        "Add", tape.elementwise("Max", x, zero), tape.elementwise("Mul", curve, tape.scalar(alpha, x))
    )
    gamma = attribute(node, "gamma", 1.0507009873554805)
    return tape.elementwise("Mul", whole, tape.scalar(gamma, x)) if selu else whole


def _softplus(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value:
    """max(x, 0) + log(1 + exp(-|x|)), which does not overflow."""
    small = tape.elementwise("Exp", tape.elementwise("Neg", tape.elementwise("Abs", x)))
    tail = tape.elementwise("Log", tape.elementwise("Add", small, tape.scalar(1, x)))
    return tape.elementwise("Add", tape.elementwise("Max", x, tape.scalar(0, x)), tail)


def _mish(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value:
    return tape.elementwise("Mul", x, tape.elementwise("Tanh", _softplus(node, x, tape)))


def _swish(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value:
    alpha = attribute(node, "alpha", 1.0)
    if alpha == 1.0:
        return tape.elementwise("silu", x, domain=FUSED)
    inner = tape.elementwise("Mul", x, tape.scalar(alpha, x))
    return tape.elementwise("Mul", x, tape.elementwise("Sigmoid", inner))


def _gelu(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value:
    kind = "gelu_tanh" if attribute(node, "approximate", "none") == "tanh" else "gelu"
    return tape.elementwise(kind, x, domain=FUSED)


def _is_nan(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value:
    shape, truth = shape_of(x), ir.DataType.BOOL
    (equal,) = tape.node("Equal", [x, x], [shape], dtype=truth)
    return tape.node("Not", [equal], [shape])[0]


def _pow(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value | None:
    power = scalar(operand(node, 1))
    if power is None or shape_of(x) != shape_of(node.outputs[0]):
        return None
    if power == 2:
        return tape.elementwise("Mul", x, x)
    if power == -0.5:
        return tape.elementwise("rsqrt", x, domain=FUSED)
    return {0.5: lambda: tape.elementwise("Sqrt", x), 1.0: lambda: x}.get(power, lambda: None)()


def _reciprocal(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value | None:
    root = producer(x, "Sqrt")
    return tape.elementwise("rsqrt", required(root, 0), domain=FUSED) if root else None


def _div(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value | None:
    """By a number: a product, for now. By a root: a product with its reciprocal. 1 / x: a Reciprocal."""
    divisor = required(node, 1)
    if dtype_of(x) != ir.DataType.FLOAT:
        return None
    number, root = scalar(divisor), producer(divisor, "Sqrt")
    if number is not None and number != 0 and np.isfinite(1 / np.float32(number)):
        return _product_for_now(x, number, tape) if _keeps(node, x) else None
    if scalar(x) == 1 and _keeps(node, divisor):
        return tape.elementwise("Reciprocal", divisor)
    if root is not None and _keeps(node, x):
        return tape.elementwise("Mul", x, tape.elementwise("rsqrt", required(root, 0), domain=FUSED))
    return None


def _product_for_now(x: ir.Value, number: float, tape: Tape) -> ir.Value:
    """x / number in the form that patterns know; what none of them takes is a quotient again in the end."""
    product = tape.elementwise("Mul", x, tape.scalar(1 / number, x))
    if abs(math.frexp(number)[0]) != 0.5:  # a reciprocal is exact of powers of 2 alone
        tape.nodes[-1].meta[DIVISOR] = number
    return product


def quotient(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Rounded once: a time of 750 / 1000 that is off by an ulp is an angle off by a ten-thousandth."""
    if node.op_type != "Mul" or DIVISOR not in node.meta:
        return None
    x = required(node, 0)
    return tape.elementwise("Div", x, tape.scalar(node.meta[DIVISOR], x))


def _sub(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value | None:
    number = scalar(operand(node, 1))
    if number is None or dtype_of(x) != ir.DataType.FLOAT or not _keeps(node, x):
        return None
    return tape.elementwise("Add", x, tape.scalar(-number, x))


def _keeps(node: ir.Node, x: ir.Value) -> bool:
    return shape_of(x) == shape_of(node.outputs[0])


def neutral(node: ir.Node, tape: Tape) -> ir.Value | None:
    """A product with ones, and a sum with zeros."""
    number = {"Mul": 1, "Add": 0}.get(node.op_type)
    if number is None or node.domain:
        return None
    for value, other in orders(node):
        if _keeps(node, value) and is_all(other, number):
            return value
    return None


def _cast_like(node: ir.Node, x: ir.Value, tape: Tape) -> ir.Value:
    return tape.cast(x, dtype_of(node.outputs[0]))


ONE_OPERAND: dict[str, Callable[[ir.Node, ir.Value, Tape], ir.Value | None]] = {
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LeakyRelu": _leaky,
    "PRelu": _leaky,
    "Elu": _elu,
    "Selu": _elu,
    "Softplus": _softplus,
    "Mish": _mish,
    "Swish": _swish,
    "Gelu": _gelu,
    "IsNaN": _is_nan,
    "Pow": _pow,
    "Reciprocal": _reciprocal,
    "Div": _div,
    "Sub": _sub,
    "CastLike": _cast_like,
}

"""SiLU and both GELUs, however they are written: a chain of one variable is known by its values.

Only chains of analytic functions are looked at, so that equal on an interval is equal everywhere.
"""

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from fewstep.export.lower.match import is_constant, required, scalar
from fewstep.export.lower.tape import FUSED, Tape, shape_of

Array = NDArray[np.float64]

LENGTH = 16  # operations of the longest chain
POINTS = np.concatenate([np.linspace(-9, 9, 145), np.array([-80.0, -40.0, 40.0, 80.0])])
TOLERANCE = 1e-6
CURVED = {"Sigmoid", "Erf", "Tanh", "Exp"}


def _erf(x: Array) -> Array:
    return np.array([math.erf(value) for value in x.tolist()])


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


ANALYTIC: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Exp": np.exp,
    "Tanh": np.tanh,
    "Erf": _erf,
    "Sigmoid": _sigmoid,
}
KNOWN: dict[str, Callable[[Array], Array]] = {
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
}


def activation(node: ir.Node, tape: Tape) -> ir.Value | None:
    """The node that ends such a chain, as the function it computes."""
    if node.op_type not in ("Mul", "Div") or node.domain:
        return None
    shape = shape_of(node.outputs[0])
    for x in _variables(node, shape):
        with np.errstate(all="ignore"):
            values = _values(node.outputs[0], x, LENGTH)
        if values is None:
            continue
        for name, function in KNOWN.items():
            with np.errstate(all="ignore"):
                expected = function(POINTS)
            if np.allclose(values, expected, rtol=TOLERANCE, atol=TOLERANCE):
                return tape.elementwise(name, x, domain=FUSED)
    return None


def _variables(node: ir.Node, shape: tuple[int, ...]) -> list[ir.Value]:
    """Values that the whole chain may be a function of, the farthest first: those that meet a curve on the way."""
    found: dict[ir.Value, None] = {}
    pending, curved = [(node, 0)], False
    while pending:
        current, depth = pending.pop()
        for value in current.inputs:
            if value is None or is_constant(value) or shape_of(value) != shape:
                continue
            found[value] = None
            before = value.producer()
            if before is not None and not before.domain and before.op_type in ANALYTIC and depth < LENGTH:
                curved |= before.op_type in CURVED
                pending.append((before, depth + 1))
        if len(found) > 2 * LENGTH:
            break
    return list(found) if curved else []


def _values(value: ir.Value, x: ir.Value, left: int) -> Array | None:
    """The chain's values where x is POINTS, or None if it is no function of x alone."""
    if value is x:
        return POINTS
    number = scalar(value)
    if number is not None:
        return np.full_like(POINTS, number)
    node = value.producer()
    if node is None or node.domain or node.op_type not in ANALYTIC or not left:
        return None
    operands = [_values(required(node, i), x, left - 1) for i in range(len(node.inputs))]
    if any(operand is None for operand in operands):
        return None
    return ANALYTIC[node.op_type](*operands)

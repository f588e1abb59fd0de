"""What a rewrite asks of a graph."""

from collections.abc import Iterator
from math import prod
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from fewstep.export.lower.tape import FUSED, SMALL, Shape, shape_of


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    return node.attributes[name].value if name in node.attributes else default


def operand(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def required(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None, (node.name, index)
    return value


def is_constant(value: ir.Value) -> bool:
    return value.const_value is not None


def small_constant(value: ir.Value | None) -> NDArray[Any] | None:
    if value is None or value.const_value is None or prod(shape_of(value)) > SMALL:
        return None
    return value.const_value.numpy()


def is_all(value: ir.Value | None, number: float) -> bool:
    known = small_constant(value)
    return known is not None and bool((known == number).all())


def scalar(value: ir.Value | None) -> float | None:
    array = small_constant(value)
    return float(array.reshape(())) if array is not None and array.size == 1 else None


def producer(value: ir.Value | None, op_type: str, domain: str = "") -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op_type and node.domain == domain else None


def is_alone(value: ir.Value) -> bool:
    """Whether one node reads it, once, and nobody else."""
    return not value.is_graph_output() and len(value.uses()) == 1


def sole(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The fused operation that made it, if it is one of these and nothing else needs the value."""
    node = value.producer() if value is not None else None
    if value is None or node is None or node.domain != FUSED or node.op_type not in op_types or not is_alone(value):
        return None
    return node if node.outputs[0] is value and len(node.outputs) == 1 else None


def orders(node: ir.Node) -> Iterator[tuple[ir.Value, ir.Value]]:
    """The two operands, either first."""
    a, b = required(node, 0), required(node, 1)
    yield a, b
    if a is not b:
        yield b, a


def is_same(a: ir.Value | None, b: ir.Value | None) -> bool:
    return a is b and a is not None


def with_scalar(node: ir.Node | None, op_type: str) -> tuple[ir.Value, float] | None:
    """The other operand of a sum or product with a number."""
    if node is None or node.op_type != op_type or node.domain:
        return None
    for value, other in orders(node):
        number = scalar(other)
        if number is not None and value.shape == node.outputs[0].shape:
            return value, number
    return None


def padded(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + shape


def is_along(shape: Shape, rank: int, axis: int, size: int) -> bool:
    """Whether a value of this shape, in a value of that rank, varies at most along one axis of that size."""
    if len(shape) > rank:
        return False
    full = padded(shape, rank)
    return full[axis] == size and prod(full) == size

"""New nodes of a graph whose shapes are all known: every value made here says its shape and its type."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

FUSED = "fewstep"
SMALL = 1 << 16  # elements of a constant that a rewrite may look at or copy
Shape = tuple[int, ...]


def shape_of(value: ir.Value) -> Shape:
    assert value.shape is not None, value.name
    return value.shape.numpy()


def dtype_of(value: ir.Value) -> ir.DataType:
    assert value.dtype is not None, value.name
    return value.dtype


class Tape:
    """Nodes in order, and the constants they read. `name` is that of the node they replace."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        shapes: Sequence[Shape],
        attributes: Mapping[str, Any] | None = None,
        *,
        dtype: ir.DataType | None = None,
        domain: str = "",
    ) -> Sequence[ir.Value]:
        """Its outputs. dtype: the first input's unless given."""
        if dtype is None:
            assert inputs[0] is not None
            dtype = dtype_of(inputs[0])
        outputs = [ir.Value(shape=ir.Shape(shape), type=ir.TensorType(dtype)) for shape in shapes]
        made = [ir.convenience.convert_attribute(key, value) for key, value in (attributes or {}).items()]
        self.nodes.append(ir.Node(domain, op_type, inputs, made, outputs=outputs, name=self.name))
        return outputs

    def fused(
        self, op_type: str, inputs: Sequence[ir.Value | None], shape: Shape, attributes: Mapping[str, Any] | None = None
    ) -> ir.Value:
        return self.node(op_type, inputs, [shape], attributes, domain=FUSED)[0]

    def elementwise(self, op_type: str, *inputs: ir.Value, domain: str = "") -> ir.Value:
        """Of inputs of one type: those of `Where` without its condition decide."""
        shape = np.broadcast_shapes(*map(shape_of, inputs))
        return self.node(op_type, inputs, [shape], dtype=dtype_of(inputs[-1]), domain=domain)[0]

    def constant(self, array: NDArray[Any], like: ir.Value | None = None) -> ir.Value:
        """like: a value of the type to give it."""
        tensor = ir.tensor(np.asarray(array, None if like is None else dtype_of(like).numpy(), order="C"))
        value = ir.Value(shape=ir.Shape(tensor.shape.numpy()), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.constants.append(value)
        return value

    def scalar(self, number: float, like: ir.Value) -> ir.Value:
        return self.constant(np.array(number), like)

    def integers(self, numbers: Sequence[int]) -> ir.Value:
        return self.constant(np.array(numbers, np.int64))

    def product(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Of two constants, a constant."""
        if a.const_value is not None and b.const_value is not None:
            return self.constant(a.const_value.numpy() * b.const_value.numpy(), a)
        return self.elementwise("Mul", a, b)

    def reshape(self, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        shape = tuple(shape)
        assert prod(shape) == prod(shape_of(value)), (value.name, shape_of(value), shape)
        if shape == shape_of(value):
            return value
        if value.const_value is not None and prod(shape) <= SMALL:
            return self.constant(value.const_value.numpy().reshape(shape))
        return self.node("Reshape", [value, self.integers(shape)], [shape])[0]

    def transpose(self, value: ir.Value, perm: Sequence[int]) -> ir.Value:
        if list(perm) == list(range(len(perm))):
            return value
        shape = shape_of(value)
        return self.node("Transpose", [value], [tuple(shape[axis] for axis in perm)], {"perm": list(perm)})[0]

    def swap(self, value: ir.Value) -> ir.Value:
        """The last two axes exchanged."""
        rank = len(shape_of(value))
        return self.transpose(value, [*range(rank - 2), rank - 1, rank - 2])

    def expand(self, value: ir.Value, shape: Sequence[int]) -> ir.Value:
        shape = tuple(shape)
        return value if shape == shape_of(value) else self.node("Expand", [value, self.integers(shape)], [shape])[0]

    def slice(self, value: ir.Value, axis: int, start: int, end: int, step: int = 1) -> ir.Value:
        shape = list(shape_of(value))
        shape[axis] = len(range(start, end, step))
        bounds = [self.integers([number]) for number in (start, end, axis, step)]
        return self.node("Slice", [value, *bounds], [tuple(shape)])[0]

    def concat(self, values: Sequence[ir.Value], axis: int) -> ir.Value:
        shape = list(shape_of(values[0]))
        shape[axis] = sum(shape_of(value)[axis] for value in values)
        return self.node("Concat", values, [tuple(shape)], {"axis": axis})[0]

    def cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        if dtype_of(value) == dtype:
            return value
        return self.node("Cast", [value], [shape_of(value)], {"to": dtype.value}, dtype=dtype)[0]

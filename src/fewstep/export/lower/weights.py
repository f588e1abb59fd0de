"""Weights as they will lie in a plan: loaded when they are written, never all at once."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from fewstep.errors import LoweringError

NUMPY: Mapping[str, Any] = {
    "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i64": np.int64, "i32": np.int32, "u8": np.uint8,
}  # fmt: skip
TYPES = {
    ir.DataType.FLOAT: "f32", ir.DataType.FLOAT16: "f16", ir.DataType.BFLOAT16: "bf16", ir.DataType.INT64: "i64",
    ir.DataType.INT32: "i32", ir.DataType.UINT8: "u8", ir.DataType.BOOL: "u8", ir.DataType.DOUBLE: "f32",
}  # fmt: skip
LARGEST_HALF = 65504.0
FLOATS = ("f32", "f16", "bf16")
BLOCK = 1 << 18  # elements that are looked at together, so that what is computed of them stays in a cache


@dataclass(frozen=True)
class Weight:
    """type, shape: as in the file; load: its values, made anew at each call unless they need no conversion.

    sha256: of its bytes in the file, where it is known.
    """

    type: str
    shape: tuple[int, ...]
    load: Callable[[], NDArray[Any]]
    sha256: str | None = None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    def array(self) -> NDArray[Any]:
        """Row-major, in its own type."""
        return np.ascontiguousarray(self.load(), NUMPY[self.type])

    def data(self) -> memoryview:
        """Its bytes in the file."""
        return self.array().reshape(-1).view(np.uint8).data

    def digest(self) -> str:
        return self.sha256 or hashlib.sha256(self.data()).hexdigest()

    def cast(self, type: str) -> "Weight":
        return self if type == self.type else replace(self, type=type, sha256=None)

    def fits(self, type: str) -> bool:
        """Whether its numbers are finite in a type; only half is too narrow for a float32."""
        return type != "f16" or all(np.abs(block).max() <= LARGEST_HALF for block in _blocks(self.load()))

    def seen(self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, wanted: tuple[int, ...]) -> "Weight":
        """The elements of a view of it, row-major in the shape `wanted`: a copy, made when it is written."""

        def load() -> NDArray[Any]:
            values = self.array().reshape(-1)[offset:]
            steps = [stride * values.itemsize for stride in strides]
            return np.lib.stride_tricks.as_strided(values, shape, steps).reshape(wanted)

        return replace(self, shape=wanted, load=load, sha256=None)


def type_of(value: ir.Value) -> str:
    """The plan's name of a value's type."""
    if value.dtype not in TYPES:
        raise LoweringError(f"value {value.name}: expected a type of {', '.join(NUMPY)}, got {value.dtype}")
    return TYPES[value.dtype]


def weight_of(value: ir.Value) -> Weight:
    """An initializer, not read yet."""
    tensor = value.const_value
    assert tensor is not None
    return Weight(type_of(value), tuple(tensor.shape.numpy()), tensor.numpy)


def _blocks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    flat = values.reshape(-1)
    return (flat[start : start + BLOCK] for start in range(0, flat.size, BLOCK))


class WeightFile:
    """The weights of one plan by name, each once however often and under whatever names it came."""

    def __init__(self) -> None:
        self.weights: dict[str, Weight] = {}
        self.wide: list[str] = []  # what stayed float32, as it has numbers beyond a half's
        self._names: dict[tuple[str, str, tuple[int, ...]], str] = {}

    def add(self, name: str, weight: Weight) -> str:
        """The name it has in the file. Raises LoweringError for NaN and Inf."""
        values = weight.array()
        if weight.type in FLOATS and not all(np.isfinite(block).all() for block in _blocks(values)):
            raise LoweringError(f"weight {name}: expected finite numbers of {weight.type}, got NaN or Inf")
        digest = hashlib.sha256(values.reshape(-1).view(np.uint8).data).hexdigest()
        key = (digest, weight.type, weight.shape)
        if key not in self._names:
            free, tries = name, 1
            while free in self.weights:
                tries += 1
                free = f"{name}.{tries}"
            self._names[key], self.weights[free] = free, replace(weight, sha256=digest)
        return self._names[key]

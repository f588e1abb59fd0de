"""Moves a graph's weights into a safetensors file: one copy of them, and still a plain ONNX model."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from fewstep.errors import InputError
from fewstep.export.graph import plain

LARGE = 1024  # elements; a smaller tensor stays in the graph, as float32
STORED: Mapping[str, np.dtype[np.float16] | np.dtype[np.float32]] = {
    "fp16": np.dtype(np.float16),
    "fp32": np.dtype(np.float32),
}
ALIGNMENT = 8  # of a header, as the official library has it
Array = NDArray[Any]
Read = Callable[[ir.TensorProtocol], Array]


@dataclass(frozen=True)
class Moved:
    """graph: without its large weights. chunks: the safetensors file, whose weights are read as they are asked for."""

    graph: bytes
    chunks: Iterator[bytes | memoryview]


def move_weights(model: ir.Model, file: str, dtype: str, read: Read = lambda tensor: tensor.numpy()) -> Moved:
    """`model` with its large float32 initializers as external data in the safetensors file called `file`.

    dtype: "fp16" stores those rounded, each followed by a Cast to float32, or "fp32". read: an initializer's values.
    The model is left with them outside. Reading the chunks raises InputError naming a weight that fp16 cannot hold.
    """
    large = {
        name: value.const_value
        for name, value in sorted(model.graph.initializers.items())
        if value.const_value is not None
        and value.const_value.dtype == ir.DataType.FLOAT
        and value.const_value.size >= LARGE
    }
    shapes = {name: tuple(tensor.shape.numpy()) for name, tensor in large.items()}
    header, offset = _header(shapes, dtype), 0
    kind = ir.DataType.from_numpy(STORED[dtype])
    for name, tensor in large.items():
        length = tensor.size * STORED[dtype].itemsize
        model.graph.initializers[name].const_value = ir.ExternalTensor(
            file, len(header) + offset, length, kind, shape=ir.Shape(shapes[name]), name=name
        )
        offset += length
    moved = plain(model)
    if dtype != "fp32":
        _cast(moved, list(large))
    return Moved(moved.SerializeToString(deterministic=True), _chunks(header, large, dtype, read))


def _header(shapes: Mapping[str, tuple[int, ...]], dtype: str) -> bytes:
    """As safetensors' own writer makes it."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + int(np.prod(shape)) * STORED[dtype].itemsize
        entries[name] = {"dtype": {2: "F16", 4: "F32"}[STORED[dtype].itemsize], "shape": shape,
                         "data_offsets": [begin, end]}  # fmt: skip
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _chunks(
    header: bytes, tensors: Mapping[str, ir.TensorProtocol], dtype: str, read: Read
) -> Iterator[bytes | memoryview]:
    yield header
    for name, tensor in tensors.items():
        yield _stored(name, read(tensor), dtype).reshape(-1).view(np.uint8).data


def _stored(name: str, values: Array, dtype: str) -> Array:
    """In the type that the file has, row by row. Raises InputError for those beyond it."""
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(values, STORED[dtype])  # a transposed one would be saved as it lies
    if not np.isfinite(stored).all():
        raise InputError(f"weight {name}: expected values that fit {stored.dtype}, got larger ones; use --dtype fp32")
    return stored


def _cast(model: ModelProto, names: list[str]) -> None:
    """Consumers of a stored weight read it through a Cast to float32."""
    wide = {name: f"{name}.float32" for name in names}
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = wide.get(name, name)
    casts = [helper.make_node("Cast", [name], [wide[name]], f"{name}.cast", to=TensorProto.FLOAT) for name in names]
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)

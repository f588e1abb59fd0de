"""Moves a graph's weights into a safetensors file: one copy of them, and still a plain ONNX model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from safetensors.numpy import save
from torch import nn

from fewstep.engine.reading.safetensors_header import read_header
from fewstep.errors import InputError
from fewstep.export.graph import plain

LARGE = 1024  # elements; a smaller tensor stays in the graph, as float32
STORED: Mapping[str, np.dtype[np.float16] | np.dtype[np.float32]] = {
    "fp16": np.dtype(np.float16),
    "fp32": np.dtype(np.float32),
}
TORCH = {"fp16": torch.float16, "fp32": torch.float32}


def move_weights(model: ir.Model, file: str, dtype: str) -> tuple[bytes, bytes]:
    """(graph, weights): `model` with its large float32 initializers as external data in the safetensors bytes.

    dtype: "fp16" stores those rounded, each followed by a Cast to float32, or "fp32". The model is left with them
    outside. Raises InputError naming a weight that fp16 cannot hold.
    """
    large = {
        name: value.const_value
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
        and value.const_value.dtype == ir.DataType.FLOAT
        and value.const_value.size >= LARGE
    }
    arrays = {name: _stored(name, tensor, dtype) for name, tensor in large.items()}
    weights = save(arrays, metadata={"format": "pt"})
    places = {place.name: place for place in read_header(weights, file)}
    for name, tensor in large.items():
        kind, place = ir.DataType.from_numpy(STORED[dtype]), places[name]
        model.graph.initializers[name].const_value = ir.ExternalTensor(
            file, place.offset, place.length, kind, shape=ir.Shape(tensor.shape.numpy()), name=name
        )
    moved = plain(model)
    if dtype != "fp32":
        _cast(moved, sorted(places))
    return moved.SerializeToString(deterministic=True), weights


def _stored(name: str, tensor: ir.TensorProtocol, dtype: str) -> NDArray[Any]:
    """Its values in a type that its file has. Raises InputError for those beyond it."""
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(tensor.numpy(), STORED[dtype])  # a transposed one would be saved as it lies
    if not np.isfinite(values).all():
        raise InputError(f"weight {name}: expected values that fit {values.dtype}, got larger ones; use --dtype fp32")
    return values


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


def round_weights(network: nn.Module, dtype: str) -> None:
    """Rounds the parameters that `move_weights` stores to what it stores, in place."""
    for parameter in network.parameters():
        if parameter.numel() >= LARGE:
            parameter.data = parameter.data.to(TORCH[dtype]).to(parameter.dtype)

"""Moves a graph's weights into a safetensors file: one copy of them, and still a plain ONNX model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from safetensors.numpy import save
from torch import nn

from fewstep.engine.reading.safetensors_header import Tensor, read_header
from fewstep.errors import InputError

LARGE = 1024  # elements; a smaller tensor stays in the graph, as float32
STORED: Mapping[str, np.dtype[np.float16] | np.dtype[np.float32]] = {
    "fp16": np.dtype(np.float16),
    "fp32": np.dtype(np.float32),
}
TORCH = {"fp16": torch.float16, "fp32": torch.float32}


def move_weights(model: ModelProto, file: str, dtype: str) -> tuple[bytes, bytes]:
    """(graph, weights): `model` with its large float32 initializers as external data in the safetensors bytes.

    dtype: "fp16" stores those rounded, each followed by a Cast to float32, or "fp32". Raises InputError naming a weight
    that fp16 cannot hold.
    """
    moved = ModelProto()
    moved.CopyFrom(model)
    large: dict[str, NDArray[Any]] = {
        tensor.name: numpy_helper.to_array(tensor).astype(STORED[dtype])
        for tensor in moved.graph.initializer
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= LARGE
    }
    _check_range(large)
    weights = save(large, metadata={"format": "pt"})
    places = {tensor.name: tensor for tensor in read_header(weights, file)}
    for tensor in moved.graph.initializer:
        if tensor.name in places:
            _externalize(tensor, places[tensor.name], helper.np_dtype_to_tensor_dtype(STORED[dtype]), file)
    if dtype != "fp32":
        _cast(moved, sorted(places))
    return moved.SerializeToString(deterministic=True), weights


def _check_range(weights: Mapping[str, NDArray[Any]]) -> None:
    for name, values in weights.items():
        if not np.isfinite(values).all():
            raise InputError(
                f"weight {name}: expected values that fit {values.dtype}, got larger ones; use --dtype fp32"
            )


def _externalize(tensor: TensorProto, place: Tensor, data_type: int, file: str) -> None:
    for form in ("raw_data", "float_data"):
        tensor.ClearField(form)
    tensor.data_type, tensor.data_location = data_type, TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", file), ("offset", place.offset), ("length", place.length)):
        tensor.external_data.add(key=key, value=str(value))


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

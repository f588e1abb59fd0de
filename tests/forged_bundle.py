"""A bundle that a test can bend: legal, with external fp16 weights, until its parts are changed and it is written."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper
from safetensors.numpy import save

from fewstep.engine.reading.safetensors_header import read_header

GRAPH, WEIGHTS, LICENSE = "denoiser.onnx", "denoiser.safetensors", "LICENSE"
SIDE = 4
WEIGHT = np.arange(SIDE * SIDE, dtype=np.float16).reshape(SIDE, SIDE) / 16
OTHER = np.ones(SIDE, np.float16)


def weights() -> bytes:
    return save({"weight": WEIGHT, "other": OTHER})


def external(name: str = "weight", **place: object) -> TensorProto:
    """The tensor of that name in WEIGHTS; keywords change its place, None takes an entry away."""
    found = next(tensor for tensor in read_header(weights(), WEIGHTS) if tensor.name == name)
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT16, dims=found.shape)
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": WEIGHTS, "offset": found.offset, "length": found.length, **place}
    for key, value in entries.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


def model() -> ModelProto:
    """F = x @ weight + t; the labels only take part by their sum times zero."""
    shape: list[str | int | None] = ["B", 3, SIDE, SIDE]
    nodes = [
        helper.make_node("Cast", ["weight"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "wide"], ["xw"]),
        helper.make_node("Reshape", ["t", "column"], ["t4"]),
        helper.make_node("Cast", ["labels"], ["rows"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["rows", "column"], ["rows4"]),
        helper.make_node("Mul", ["rows4", "zero"], ["nothing"]),
        helper.make_node("Add", ["t4", "nothing"], ["shift"]),
        helper.make_node("Add", ["xw", "shift"], ["F"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("t", TensorProto.FLOAT, ["B"]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["B", 1]),
    ]
    constants = [
        helper.make_tensor("column", TensorProto.INT64, [4], [-1, 1, 1, 1]),
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
    ]
    outputs = [helper.make_tensor_value_info("F", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "forged", inputs, outputs, [external(), *constants])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def manifest() -> dict[str, Any]:
    shape = ["B", 3, SIDE, SIDE]
    return {
        "format": "fewstep-bundle",
        "version": 1,
        "name": "forged",
        "family": "forged-net",
        "description": "A bundle for tests.",
        "license": {"spdx": "CC0-1.0", "file": LICENSE},
        "state": {"shape": [3, SIDE, SIDE]},
        "latent": {"scaling_factor": 1.0, "shift_factor": 0.0},
        "image": {"width": SIDE, "height": SIDE, "channels": 3, "range": [-1, 1]},
        "labels": [{"name": "class", "values": ["one", "two"], "null": 2}],
        "schedule": {
            "name": "trigflow",
            "default_steps": 2,
            "guidance": 1.0,
            "steps": {"1": {}, "2": {"times": [1.5, 1.1]}},
        },
        "components": {
            "denoiser": {
                "graph": GRAPH,
                "weights": [WEIGHTS],
                "inputs": [
                    {"name": "x", "dtype": "float32", "shape": shape},
                    {"name": "t", "dtype": "float32", "shape": ["B"]},
                    {"name": "labels", "dtype": "int64", "shape": ["B", 1]},
                ],
                "outputs": [{"name": "F", "dtype": "float32", "shape": shape}],
            }
        },
    }


@dataclass
class Forgery:
    """Change manifest and files, then write: digests and sizes are those of `files` unless the manifest has its own."""

    manifest: dict[str, Any] = field(default_factory=manifest)
    files: dict[str, bytes] = field(
        default_factory=lambda: {
            GRAPH: model().SerializeToString(),
            WEIGHTS: weights(),
            LICENSE: b"CC0 1.0\n",
        }
    )

    def graph(self, change: Callable[[ModelProto], object]) -> "Forgery":
        forged = model()
        change(forged)
        self.files[GRAPH] = forged.SerializeToString()
        return self

    def json(self) -> bytes:
        entries = {name: {"sha256": hashlib.sha256(d).hexdigest(), "size": len(d)} for name, d in self.files.items()}
        return json.dumps({"files": entries, **self.manifest}).encode()

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in {**self.files, "bundle.json": self.json()}.items():
            (folder / name).write_bytes(data)
        return folder

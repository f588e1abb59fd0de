"""A bundle that runs in microseconds: random weights, 8 x 8 pictures, two label tables that share colours."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SUBJECTS = ("critters", "planets", "voxel-bot")
BACKGROUNDS = ("purple", "green", "navy")
COLORS = ("red", "green", "purple", "teal")
LABELS = (("class", SUBJECTS), ("background", BACKGROUNDS), ("color", COLORS))
SIDE, EMBEDDING = 8, 16
TRIGFLOW = {"1": {}, "2": {"times": [math.pi / 2, 1.1]}, "4": {"times": [math.pi / 2, 1.25, 0.95, 0.6]}}


def manifest(files: dict[str, bytes], **changes: Any) -> dict[str, Any]:
    shape = ["B", 3, SIDE, SIDE]
    denoiser = {
        "graph": "denoiser.onnx",
        "weights": [],
        "inputs": [
            {"name": "x", "dtype": "float32", "shape": shape},
            {"name": "t", "dtype": "float32", "shape": ["B"]},
            {"name": "labels", "dtype": "int64", "shape": ["B", len(LABELS)]},
        ],
        "outputs": [{"name": "F", "dtype": "float32", "shape": shape}],
    }
    return {
        "format": "fewstep-bundle",
        "version": 1,
        "name": "small",
        "family": "small-net",
        "description": "Random weights, for tests",
        "license": {"spdx": "CC0-1.0", "file": "LICENSE"},
        "state": {"shape": [3, SIDE, SIDE]},
        "latent": {"scaling_factor": 1.0, "shift_factor": 0.0},
        "image": {"width": SIDE, "height": SIDE, "channels": 3, "range": [-1, 1]},
        "labels": [{"name": name, "values": list(values), "null": len(values)} for name, values in LABELS],
        "schedule": {"name": "trigflow", "default_steps": 2, "guidance": 1.0, "steps": TRIGFLOW},
        "components": {"denoiser": denoiser},
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()
        },
        **changes,
    }


def graph(overflow: bool = False) -> bytes:
    """F = norm(conv(x)) * (1 + w . e) with e the embedding of t and labels; 1e38 times itself if it shall overflow."""
    rng = np.random.default_rng(0)
    weights: dict[str, NDArray[Any]] = {
        "kernel": rng.standard_normal((3, 3, 3, 3)).astype(np.float32),
        "film": rng.standard_normal((EMBEDDING, 3)).astype(np.float32) / 4,
        "time": rng.standard_normal((1, EMBEDDING)).astype(np.float32),
        "ones": np.ones(3, np.float32),
        "zeros": np.zeros(3, np.float32),
        "one": np.array(1, np.float32),
        "axis": np.array([1]),
        "axes": np.array([2, 3]),
        "huge": np.array(3e38, np.float32),
    }
    nodes = [helper.make_node("Unsqueeze", ["t", "axis"], ["t1"]), helper.make_node("Mul", ["t1", "time"], ["e0"])]
    for i, (_, values) in enumerate(LABELS):
        weights |= {
            f"table{i}": rng.standard_normal((len(values) + 1, EMBEDDING)).astype(np.float32),
            f"i{i}": np.array(i),
        }
        nodes += [
            helper.make_node("Gather", ["labels", f"i{i}"], [f"label{i}"], axis=1),
            helper.make_node("Gather", [f"table{i}", f"label{i}"], [f"row{i}"], axis=0),
            helper.make_node("Add", [f"e{i}", f"row{i}"], [f"e{i + 1}"]),
        ]
    nodes += [
        helper.make_node("Gemm", [f"e{len(LABELS)}", "film"], ["scale"]),
        helper.make_node("Unsqueeze", ["scale", "axes"], ["scale4"]),
        helper.make_node("Add", ["scale4", "one"], ["gain"]),
        helper.make_node("Conv", ["x", "kernel"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("InstanceNormalization", ["h", "ones", "zeros"], ["normed"]),
        helper.make_node("Mul", ["normed", "gain"], ["scaled"]),
        helper.make_node("Mul", ["scaled", "huge" if overflow else "one"], ["once"]),
        helper.make_node("Mul", ["once", "huge" if overflow else "one"], ["F"]),
    ]
    shape: list[str | int | None] = ["B", 3, SIDE, SIDE]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "small",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
                helper.make_tensor_value_info("t", TensorProto.FLOAT, ["B"]),
                helper.make_tensor_value_info("labels", TensorProto.INT64, ["B", len(LABELS)]),
            ],
            [helper.make_tensor_value_info("F", TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_bundle(folder: Path, *, overflow: bool = False, onnx_bytes: bytes | None = None, **changes: Any) -> Path:
    """Write the bundle, with top-level keys of its manifest replaced, and return its folder."""
    files = {"denoiser.onnx": onnx_bytes or graph(overflow), "LICENSE": b"CC0 1.0\n"}
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "bundle.json").write_text(json.dumps(manifest(files, **changes)))
    return folder

"""Whole networks: the default model."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from fused_comparison import VIEWS, check_same, random_inputs, run_onnx

from fewstep.api import open_model
from fewstep.engine.bundle_manifest import STEP
from fewstep.export.lower.offsets import move_offsets
from fewstep.export.staging.binding import Binding
from fewstep.export.staging.stage import stage


@pytest.fixture(scope="module")
def denoiser() -> ir.Model:
    graph, weights = open_model("toons16").session_inputs("denoiser")
    found = onnx.load_from_string(bytes(graph))
    blobs = dict(weights)
    for tensor in found.graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        if place:
            blob = blobs[place["location"]]
            start, length = int(place.get("offset", 0)), int(place["length"])
            tensor.raw_data = bytes(blob[start : start + length])
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.DEFAULT
    return ir.from_proto(found)


@pytest.mark.parametrize("B", [1, 3])
def test_the_default_model(denoiser: ir.Model, B: int) -> None:
    counts = check_same(denoiser, {"B": B}, random_inputs(denoiser, {"B": B}, below=4))
    assert (counts["conv2d"], counts["group_norm"], counts["attention"], counts["matmul"]) == (24, 16, 1, 3)
    assert not {"Softmax", "Sigmoid", "InstanceNormalization"} & counts.keys()


def test_its_step_is_fused_operations_and_views_alone(denoiser: ir.Model) -> None:
    bindings = {"x": Binding.STATE, "t": Binding.TIME, "labels": Binding.PROMPT}
    parts = stage(denoiser, bindings)
    moved = move_offsets(parts)
    counts = check_same(moved[STEP], {"B": 1})
    assert counts.keys() - VIEWS == {"conv2d", "group_norm", "attention"}
    assert [v.name for part in parts.values() for v in part.graph.outputs][-1] == "F", "the parts stay as they are"
    for name, part in moved.items():
        check_same(part, {"B": 2})
        crossing = {v.name for earlier in moved.values() for v in earlier.graph.outputs}
        assert {v.name for v in part.graph.inputs} <= crossing | bindings.keys(), name


def test_moved_offsets_change_no_value(denoiser: ir.Model) -> None:
    parts = stage(denoiser, {"x": Binding.STATE, "t": Binding.TIME, "labels": Binding.PROMPT})
    values = random_inputs(denoiser, {"B": 2}, below=4)
    expected = run_onnx(denoiser, values)["F"]
    for part in move_offsets(parts).values():
        values |= run_onnx(part, {str(v.name): values[str(v.name)] for v in part.graph.inputs})
    np.testing.assert_allclose(values["F"], expected, rtol=1e-5, atol=1e-5)

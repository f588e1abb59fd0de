"""Whole networks: the default model."""

import onnx
import onnx_ir as ir
import pytest
from fused_comparison import check_same, random_inputs

from fewstep.api import open_model
from fewstep.export.staging.binding import Binding
from fewstep.export.staging.stage import STEP, stage


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
    assert (counts["conv2d"], counts["group_norm"], counts["attention"], counts["matmul"]) == (24, 16, 1, 9)
    assert not {"Softmax", "Sigmoid", "InstanceNormalization"} & counts.keys()


def test_its_step(denoiser: ir.Model) -> None:
    bindings = {"x": Binding.STATE, "t": Binding.TIME, "labels": Binding.PROMPT}
    counts = check_same(stage(denoiser, bindings)[STEP], {"B": 1})
    assert (counts["conv2d"], counts["group_norm"], counts["attention"], counts["matmul"]) == (24, 16, 1, 0)

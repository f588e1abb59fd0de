"""The stages of a component as files: weights where they were, and nothing read to put them there."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, load_from_string

from fewstep.engine.bundle_manifest import MODULATION, PROMPT, STEP, TABLES, Component, TensorSpec
from fewstep.export.staging.stage_files import STAGE_FILES, add_stages

TERABYTE = 1 << 40
COMPONENT = Component(
    "denoiser.onnx",
    ("absent.safetensors",),
    (
        TensorSpec("x", "float32", ("B", 4)),
        TensorSpec("t", "float32", ("B",)),
        TensorSpec("labels", "int64", ("B", 1)),
        TensorSpec("pooled", "float32", ("B", 4)),
    ),
    (TensorSpec("F", "float32", ("B", 4)),),
)


def weight(name: str, shape: tuple[int, ...], offset: int) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "absent.safetensors"), ("offset", offset), ("length", 4 * shape[0] * shape[1])):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def graph(weights: list[TensorProto]) -> bytes:
    """F = x w_x + time w_t + table[labels] + pooled w_p, and a modulation of the last three."""
    node = helper.make_node
    nodes: list[NodeProto] = [
        node("Unsqueeze", ["t", "last"], ["column"]),
        node("MatMul", ["column", "w_t"], ["time"]),
        node("Squeeze", ["labels", "last"], ["rows"]),
        node("Gather", ["table", "rows"], ["text"]),
        node("MatMul", ["pooled", "w_p"], ["pool"]),
        node("Add", ["text", "pool"], ["prompt"]),
        node("Add", ["time", "prompt"], ["both"]),
        node("Tanh", ["both"], ["modulation"]),
        node("MatMul", ["x", "w_x"], ["state"]),
        node("Add", ["state", "modulation"], ["F"]),
    ]
    inputs = [
        helper.make_tensor_value_info(
            spec.name, TensorProto.FLOAT if spec.dtype == "float32" else TensorProto.INT64, spec.shape
        )
        for spec in COMPONENT.inputs
    ]
    outputs = [helper.make_tensor_value_info("F", TensorProto.FLOAT, ["B", 4])]
    last = helper.make_tensor("last", TensorProto.INT64, [1], [1])
    made = helper.make_graph(nodes, "g", inputs, outputs, [*weights, last])
    model: ModelProto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def weights(table_rows: int = 3) -> list[TensorProto]:
    return [
        weight("w_x", (4, 4), 0),
        weight("w_t", (1, 4), 64),
        weight("w_p", (4, 4), 80),
        weight("table", (table_rows, 4), 144),
    ]


@pytest.mark.parametrize("rows", [3, TERABYTE], ids=["small", "larger than any memory"])
def test_each_weight_is_named_where_it_is_used_and_lies_where_it_lay(rows: int) -> None:
    """The file is absent: had any weight been read, it would have failed."""
    component, files = add_stages(COMPONENT, graph(weights(rows)))
    assert {name: stage.graph for name, stage in component.stages.items()} == STAGE_FILES and len(files) == 4
    users = {"w_x": STEP, "w_t": TABLES, "w_p": PROMPT, "table": PROMPT}
    found = {}
    for name, stage in component.stages.items():
        for tensor in load_from_string(files[stage.graph]).graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                found[tensor.name] = name
                assert tensor == next(before for before in weights(rows) if before.name == tensor.name)
    assert found == users


def test_the_manifest_tells_what_crosses() -> None:
    stages = add_stages(COMPONENT, graph(weights()))[0].stages
    crossing = {name: [(v.name, v.dtype, v.shape) for v in stage.outputs] for name, stage in stages.items()}
    assert crossing == {
        TABLES: [("time", "float32", ("B", 4))],
        PROMPT: [("prompt", "float32", ("B", 4))],
        MODULATION: [("modulation", "float32", ("B", 4))],
        STEP: [("F", "float32", ("B", 4))],
    }
    assert {v.name for v in stages[PROMPT].inputs} == {"labels", "pooled"}
    assert {v.name for v in stages[STEP].inputs} == {"x", "modulation"}


@settings(max_examples=10)
@given(st.permutations(weights()))
def test_the_same_graph_gives_the_same_bytes_in_the_order_of_its_weights(order: list[TensorProto]) -> None:
    files = add_stages(COMPONENT, graph(order))[1]
    assert add_stages(COMPONENT, graph(order))[1] == files
    prompt = load_from_string(files[STAGE_FILES[PROMPT]]).graph.initializer
    names = [tensor.name for tensor in prompt if tensor.data_location == TensorProto.EXTERNAL]
    assert names == [tensor.name for tensor in order if tensor.name in ("w_p", "table")]

"""A staged network computes what the whole one does, and nothing stays in the loop that need not."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fewstep.api import open_model
from fewstep.engine.bundle_manifest import MODULATION, PROMPT, STEP, TABLES
from fewstep.engine.reading.regular_file import MappedFile
from fewstep.errors import InputError
from fewstep.export.staging.binding import Binding
from fewstep.export.staging.stage import stage

BINDINGS = {"x": Binding.STATE, "t": Binding.TIME, "c": Binding.PROMPT}
WIDTH = 4
Values = dict[str, NDArray[Any]]
Weights = list[tuple[str, bytes | MappedFile]]


def network(nodes: list[onnx.NodeProto], output: str, constants: Values | None = None) -> ir.Model:
    """A graph of x, t and c, each (B, WIDTH), and the constants."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", WIDTH]) for name in BINDINGS]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    initializers = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return ir.from_proto(model)


def run(model: ir.Model, inputs: Values, weights: Weights | None = None) -> Values:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if weights:
        names, data = [name for name, _ in weights], [data for _, data in weights]
        options.add_external_initializers_from_files_in_memory(names, data, [len(part) for part in data])
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = {node.name: inputs[node.name] for node in session.get_inputs()}
    return dict(zip([node.name for node in session.get_outputs()], session.run(None, wanted), strict=True))


def run_staged(
    parts: dict[str, ir.Model], given: Values, times: NDArray[Any], weights: Weights | None = None
) -> list[Any]:
    """The output at each time, for a prompt and a state: tables once for all times, and one batch for all steps."""
    B, N = len(given["x"]), len(times)
    tables = {"t": times} | (run(parts[TABLES], {"t": times}, weights) if TABLES in parts else {})
    prompt = given | (run(parts[PROMPT], given, weights) if PROMPT in parts else {})
    of_step = {name: np.repeat(value, B, axis=0) for name, value in tables.items()}  # rows: step, then image
    if MODULATION in parts:
        of_prompt = {name: np.concatenate([value] * N) for name, value in prompt.items()}
        of_step |= run(parts[MODULATION], of_prompt | of_step, weights)
    rows = [{name: value[i * B : (i + 1) * B] for name, value in of_step.items()} for i in range(N)]
    return [next(iter(run(parts[STEP], prompt | row, weights).values())) for row in rows]


def run_whole(model: ir.Model, given: Values, times: NDArray[Any], weights: Weights | None = None) -> list[Any]:
    B = len(given["x"])
    return [next(iter(run(model, given | {"t": np.repeat(row[None], B, axis=0)}, weights).values())) for row in times]


BINARY = ["Add", "Mul", "Sub"]
UNARY = ["Tanh", "Sigmoid", "Sin", "Gemm", "Softmax", "Shape", "Unsqueeze"]


@st.composite
def networks(draw: st.DrawFn) -> ir.Model:
    """A random network of a dozen nodes; its output uses the last of them and the state."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    constants: Values = {"w": rng.standard_normal((WIDTH, WIDTH)).astype(np.float32), "axis": np.array([1])}
    nodes, values = [], list(BINDINGS)
    for i in range(draw(st.integers(1, 12))):
        out, a = f"v{i}", draw(st.sampled_from(values))
        kind = draw(st.sampled_from(BINARY + UNARY))
        if kind in BINARY:
            nodes.append(helper.make_node(kind, [a, draw(st.sampled_from(values))], [out]))
        elif kind == "Gemm":
            nodes.append(helper.make_node("Gemm", [a, "w"], [out]))
        elif kind == "Shape":  # of one value, to make another as large
            nodes += [
                helper.make_node("Shape", [draw(st.sampled_from(values))], [f"{out}.shape"]),
                helper.make_node("Expand", [a, f"{out}.shape"], [out]),
            ]
        elif kind == "Unsqueeze":
            nodes += [
                helper.make_node("Unsqueeze", [a, "axis"], [f"{out}.wide"]),
                helper.make_node("Squeeze", [f"{out}.wide", "axis"], [out]),
            ]
        else:
            nodes.append(helper.make_node(kind, [a], [out]))
        values.append(out)
    nodes.append(helper.make_node("Add", [values[-1], draw(st.sampled_from(values))], ["F"]))
    return network(nodes, "F", constants)


@settings(max_examples=40)
@given(networks(), st.integers(1, 3), st.integers(1, 4))
def test_stages_compute_what_the_whole_does(model: ir.Model, B: int, N: int) -> None:
    rng = np.random.default_rng(0)
    given: Values = {name: rng.standard_normal((B, WIDTH)).astype(np.float32) for name in ("x", "c")}
    times = rng.standard_normal((N, WIDTH)).astype(np.float32)
    parts = stage(model, BINDINGS)
    assert run_staged(parts, given, times)[0].shape == (B, WIDTH)
    np.testing.assert_allclose(run_staged(parts, given, times), run_whole(model, given, times), rtol=1e-5, atol=1e-6)


def test_the_loop_keeps_only_what_depends_on_the_state() -> None:
    node = helper.make_node
    nodes = [
        node("Gemm", ["t", "w"], ["time"]),
        node("Gemm", ["c", "w"], ["text"]),
        node("Mul", ["time", "text"], ["both"]),
        node("Tanh", ["both"], ["modulation"]),
        node("Mul", ["x", "modulation"], ["F"]),
    ]
    parts = stage(network(nodes, "F", {"w": np.eye(WIDTH, dtype=np.float32)}), BINDINGS)
    found = {name: [inner.op_type for inner in part.graph] for name, part in parts.items()}
    assert found == {TABLES: ["Gemm"], PROMPT: ["Gemm"], MODULATION: ["Mul", "Tanh"], STEP: ["Mul"]}


def test_a_shape_read_off_the_state_keeps_nothing_in_the_loop() -> None:
    """As diffusers' networks do: the time is expanded to the batch of the state, then embedded."""
    node = helper.make_node
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Expand", ["t", "shape"], ["wide"]),
        node("Gemm", ["wide", "w"], ["time"]),
        node("Add", ["x", "time"], ["F"]),
    ]
    parts = stage(network(nodes, "F", {"w": np.eye(WIDTH, dtype=np.float32)}), BINDINGS)
    assert [inner.op_type for inner in parts[STEP].graph] == ["Add"] and "Gemm" in {
        n.op_type for n in parts[TABLES].graph
    }


def test_what_only_grows_and_what_is_random_stays_in_the_loop() -> None:
    node = helper.make_node
    nodes = [
        node("Tanh", ["t"], ["small"]),
        node("Expand", ["small", "large"], ["grown"]),
        node("RandomNormalLike", ["c"], ["noise"], seed=1.0),
        node("Add", ["grown", "x"], ["sum"]),
        node("Add", ["sum", "noise"], ["F"]),
    ]
    parts = stage(network(nodes, "F", {"large": np.array([3, 1, WIDTH])}), BINDINGS)
    assert {inner.op_type for inner in parts[STEP].graph} == {"Expand", "RandomNormalLike", "Add"}
    assert PROMPT not in parts and MODULATION not in parts


def test_an_output_that_needs_no_state_is_still_an_output() -> None:
    parts = stage(network([helper.make_node("Tanh", ["t"], ["F"])], "F"), BINDINGS)
    assert list(parts) == [STEP]


def test_the_body_of_a_branch_reads_the_graph_around_it() -> None:
    node, info = helper.make_node, helper.make_tensor_value_info
    bodies = {
        name: helper.make_graph([node(op, ["x"], [name])], name, [], [info(name, TensorProto.FLOAT, None)])
        for name, op in (("then", "Tanh"), ("else", "Neg"))
    }
    nodes = [
        node("ReduceSum", ["c"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["is_positive"]),
        node("If", ["is_positive"], ["F"], then_branch=bodies["then"], else_branch=bodies["else"]),
    ]
    model = network(nodes, "F", {"zero": np.zeros((), np.float32)})
    parts = stage(model, BINDINGS)
    assert "If" in {inner.op_type for inner in parts[STEP].graph}
    given = {"x": np.ones((2, WIDTH), np.float32), "c": -np.ones((2, WIDTH), np.float32)}
    times = np.ones((1, WIDTH), np.float32)
    np.testing.assert_array_equal(run_staged(parts, given, times), run_whole(model, given, times))


def test_wrong_names_are_refused() -> None:
    model = network([helper.make_node("Tanh", ["x"], ["F"])], "F")
    with pytest.raises(InputError, match=r"expected one for each of \['c', 't', 'x'\], got \['x'\]"):
        stage(model, {"x": Binding.STATE})


def test_the_shipped_model() -> None:
    graph, weights = open_model("toons16").session_inputs("denoiser")
    model = ir.from_proto(onnx.load_from_string(bytes(graph)))
    parts = stage(model, {"x": Binding.STATE, "t": Binding.TIME, "labels": Binding.PROMPT})
    assert "Gemm" not in {node.op_type for node in parts[STEP].graph}
    rng = np.random.default_rng(0)
    given = {"x": rng.standard_normal((2, 3, 32, 32)).astype(np.float32), "labels": np.array([[3, 2, 1], [0, 7, 9]])}
    times = np.array([1.57, 1.1, 0.3], np.float32)
    found, expected = run_staged(parts, given, times, weights), run_whole(model, given, times, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

"""Small graphs as text, run by onnxruntime, by the interpreter of programs, and by both."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes
import onnxruntime as ort
from numpy.typing import NDArray
from run_program import run_program

from fewstep.export.lower.assemble import Header, assemble
from fewstep.export.lower.draft import DraftStage
from fewstep.export.lower.memory import plan_memory
from fewstep.export.lower.network import lower_network
from fewstep.export.lower.precision import Types
from fewstep.export.lower.program import Program
from fewstep.export.lower.weights import Weight, WeightFile

Arrays = dict[str, NDArray[Any]]
F32 = Types("f32", "f32", "f32")


def parse(text: str) -> ir.Model:
    """A graph in ONNX's text syntax, of opset 18 and fewstep's own operations, with the shapes that can be inferred."""
    header = '<ir_version: 9, opset_import: ["" : 18, "fewstep" : 1]>\n'
    model = ir.from_proto(onnx.parser.parse_model(header + text))
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    passes.ShapeInferencePass()(model)
    passes.NameFixPass()(model)
    return model


def lower(model: ir.Model, types: Types = F32) -> tuple[Program, Mapping[str, Weight]]:
    file = WeightFile()
    lowered = lower_network(model.graph, {}, file, types)
    header = Header({"device": "cpu"}, "float32", {"name": "test", "family": "test", "bundle": ""}, 1)
    stages = [DraftStage("network", lowered.ops)]
    return plan_memory(assemble(header, stages, lowered.inputs, lowered.outputs)), file.weights


def random_inputs(model: ir.Model, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    out: Arrays = {}
    for value in model.graph.inputs:
        assert value.shape is not None and value.dtype is not None
        values = rng.standard_normal(tuple(value.shape.numpy())) * 2
        out[str(value.name)] = (np.abs(values) if value.dtype == ir.DataType.INT64 else values).astype(
            value.dtype.numpy()
        )
    return out


def run_onnx(model: ir.Model, inputs: Arrays) -> Arrays:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([node.name for node in session.get_outputs()], session.run(None, inputs), strict=True))


def check(text: str, tolerance: float = 2e-6) -> Program:
    """Lowers a graph of standard operations and compares the program with onnxruntime."""
    model = parse(text)
    inputs = random_inputs(model)
    program, weights = lower(model)
    found, expected = run_program(program, weights, inputs), run_onnx(model, inputs)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(1.0, float(np.abs(np.nan_to_num(value.astype(np.float64))).max()))
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance * scale, err_msg=name)
    return program


def kinds(program: Program) -> list[str]:
    """The operations, copies by that name."""
    return [
        "copy" if op.op == "map" and not op.attributes["code"] else op.op
        for stage in program.stages
        for op in stage.ops
    ]

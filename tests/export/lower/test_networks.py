"""Networks of other families, as both opsets write them: what is found in them, and that plans compute the same."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from fused_comparison import VIEWS, assert_same, check_same, random_inputs, run_onnx
from run_program import run_program
from tiny_networks import export_tiny

from fewstep import _runtime
from fewstep.export.lower.compile_network import compile_network
from fewstep.export.lower.plan_file import write_plan

HALF = 2**-11  # what float16 rounds a weight by, at most
exported = cache(export_tiny)

TIMES = {"Sin", "Cos", "Mul", "Add", "Cast"}
FOUND = {
    "unet": {"conv2d": 25, "matmul": 36, "group_norm": 21, "layer_norm": 12, "attention": 8},
    "pixels": {"conv2d": 27, "matmul": 11, "group_norm": 25, "attention": 4, "reduce": 2, "gather": 1, "silu": 1},
    "streams": {"matmul": 21, "layer_norm": 6, "rms_norm": 6, "attention": 2, "silu": 1},
    "patches": {"conv2d": 1, "matmul": 8, "layer_norm": 3, "attention": 1, "gather": 1, "silu": 1},
    "decoder": {"conv2d": 17, "group_norm": 14, "matmul": 2, "attention": 1},
}
CASES = [(name, 18) for name in FOUND] + [("streams", 23), ("decoder", 23)]


each_network = pytest.mark.parametrize(("name", "opset"), CASES, ids=[f"{name}-{opset}" for name, opset in CASES])


@each_network
def test_a_network(name: str, opset: int) -> None:
    counts = check_same(exported(name, opset), {})
    rotations = {"Neg"} if name == "streams" else set()
    assert {kind: count for kind, count in counts.items() if kind not in VIEWS | TIMES | rotations} == FOUND[name]


@each_network
def test_its_plan_computes_what_onnxruntime_does(name: str, opset: int, tmp_path: Path) -> None:
    model = exported(name, opset)
    write_plan(tmp_path / "plan.fsp", *compile_network(model, sizes={}, target={"device": "cpu"}, name=name))
    inputs = random_inputs(model, {})
    expected = run_onnx(model, inputs)
    for threads in (1, 2):
        program = _runtime.Program(tmp_path / "plan.fsp", threads=threads)
        for _ in range(2):  # the second run finds what the first left in memory
            assert_same(program.run(inputs), expected)


@pytest.mark.parametrize("name", ["unet", "streams"])
def test_a_plan_of_half_precision_computes_with_weights_that_were_rounded(name: str, tmp_path: Path) -> None:
    model = exported(name, 18)
    plan = compile_network(model, sizes={}, target={"device": "cpu"}, precision="float16", name=name)
    write_plan(tmp_path / "plan.fsp", *plan)
    inputs = random_inputs(model, {})
    got = _runtime.Program(tmp_path / "plan.fsp", threads=1).run(inputs)
    assert_same(got, run_program(*plan, inputs))
    for key, value in run_onnx(model, inputs).items():
        error = np.abs(got[key] - value).max() / np.abs(value).max()
        assert HALF / 16 < error < 64 * HALF  # what a random network makes of its rounding

"""Networks of the families, as both opsets write them: what is found in them, and that plans compute the same.

python tests/family_coverage.py does the latter for every family, part and opset.
"""

from functools import cache
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from fused_comparison import VIEWS, assert_same, check_same, run_onnx
from fused_evaluation import Values
from run_program import run_program
from tiny_networks import B, tiny

from fewstep import _runtime
from fewstep.export.lower.compile_network import compile_network
from fewstep.export.lower.plan_file import write_plan

HALF = 2**-11  # what float16 rounds a weight by, at most
SIZES = {"B": B}

ARITHMETIC = {"Sin", "Cos", "Mul", "Add", "Sub", "Div", "Neg", "Relu", "Where", "Cast"}
FOUND = {
    "flux_schnell.transformer": {"matmul": 21, "layer_norm": 6, "rms_norm": 6, "attention": 2, "silu": 1},
    "dit.transformer": {"conv2d": 1, "matmul": 8, "layer_norm": 3, "attention": 1, "gather": 1, "silu": 1},
    "sana_sprint.transformer": {
        "matmul": 16, "conv2d": 4, "rms_norm": 5, "layer_norm": 3, "attention": 1, "silu": 2,
    },
}  # fmt: skip
LATER = "flux_schnell.transformer"  # in the later opset; family_coverage.py runs all in both
CASES = [(name, 23 if name == LATER else 18) for name in FOUND]


@cache
def exported(name: str, opset: int) -> tuple[ir.Model, Values]:
    network = tiny(name)
    return network.export(opset), network.arrays()


each_network = pytest.mark.parametrize(("name", "opset"), CASES, ids=[f"{name}-{opset}" for name, opset in CASES])


@each_network
def test_a_network(name: str, opset: int) -> None:
    model, inputs = exported(name, opset)
    counts = check_same(model, SIZES, inputs)
    assert {kind: count for kind, count in counts.items() if kind not in VIEWS | ARITHMETIC} == FOUND[name]


@each_network
def test_its_plan_computes_what_onnxruntime_does(name: str, opset: int, tmp_path: Path) -> None:
    model, inputs = exported(name, opset)
    write_plan(tmp_path / "plan.fsp", *compile_network(model, sizes=SIZES, target={"device": "cpu"}, name=name))
    expected = run_onnx(model, inputs)
    for threads in (1, 2):
        program = _runtime.Program(tmp_path / "plan.fsp", threads=threads)
        for _ in range(2):  # the second run finds what the first left in memory
            assert_same(program.run(inputs), expected)


@pytest.mark.parametrize(("name", "opset"), [("dit.transformer", 18), (LATER, 23)], ids=["dit", "flux"])
def test_a_plan_of_half_precision_computes_with_weights_that_were_rounded(
    name: str, opset: int, tmp_path: Path
) -> None:
    model, inputs = exported(name, opset)
    plan = compile_network(model, sizes=SIZES, target={"device": "cpu"}, precision="float16", name=name)
    write_plan(tmp_path / "plan.fsp", *plan)
    got = _runtime.Program(tmp_path / "plan.fsp", threads=1).run(inputs)
    assert_same(got, run_program(*plan, inputs))
    for key, value in run_onnx(model, inputs).items():
        error = np.abs(got[key] - value).max() / np.abs(value).max()
        assert HALF / 16 < error < 64 * HALF  # what a random network makes of its rounding

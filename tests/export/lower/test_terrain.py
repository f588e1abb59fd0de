"""A network that others exported: adaptive-terrain-diffusion's, from its wheel, where that is installed.

The wheel asks for onnxruntime-gpu, whose files are onnxruntime's: `pip install --no-deps adaptive-terrain-diffusion`.
"""

from importlib.util import find_spec
from pathlib import Path

import onnx_ir as ir
import pytest
from fused_comparison import assert_same, check_same, random_inputs, run_onnx

from fewstep import _runtime
from fewstep.export.lower.compile_network import compile_network
from fewstep.export.lower.plan_file import write_plan

FILE = "weights/terrain_consistency_unet_difficulty100.onnx"
SIZES = {"batch": 1}


@pytest.fixture
def model() -> ir.Model:
    found = find_spec("terrain_diffusion")
    if found is None or found.origin is None:
        pytest.skip("adaptive-terrain-diffusion is not installed")
    return ir.load(Path(found.origin).parent / FILE)


def test_the_terrain_network(model: ir.Model) -> None:
    counts = check_same(model, SIZES)
    assert (counts["conv2d"], counts["group_norm"], counts["matmul"], counts["attention"]) == (196, 139, 59, 28)
    assert counts["softmax"] == 0 and sum(counts[kind] for kind in ("Add", "Mul", "Sigmoid")) <= 14


def test_its_plan_computes_what_onnxruntime_does(model: ir.Model, tmp_path: Path) -> None:
    write_plan(tmp_path / "plan.fsp", *compile_network(model, sizes=SIZES, target={"device": "cpu"}))
    inputs = random_inputs(model, SIZES)
    assert_same(_runtime.Program(tmp_path / "plan.fsp", threads=2).run(inputs), run_onnx(model, inputs))

"""A network that others exported: adaptive-terrain-diffusion's, from its wheel, where that is installed."""

from importlib.util import find_spec
from pathlib import Path

import onnx_ir as ir
import pytest
from fused_comparison import check_same

FILE = "weights/terrain_consistency_unet_difficulty100.onnx"


def test_the_terrain_network() -> None:
    found = find_spec("terrain_diffusion")
    if found is None or found.origin is None:
        pytest.skip("adaptive-terrain-diffusion is not installed")
    model = ir.load(Path(found.origin).parent / FILE)
    counts = check_same(model, {"batch": 1})
    assert (counts["conv2d"], counts["group_norm"], counts["matmul"], counts["attention"]) == (196, 139, 59, 28)
    assert counts["softmax"] == 0 and sum(counts[kind] for kind in ("Add", "Mul", "Sigmoid")) <= 14

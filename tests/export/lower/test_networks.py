"""Networks of other families, as both opsets write them: what is found in them, and that it computes the same."""

import pytest
from fused_comparison import VIEWS, check_same
from tiny_networks import export_tiny

TIMES = {"Sin", "Cos", "Mul", "Add", "Cast"}
FOUND = {
    "unet": {"conv2d": 25, "matmul": 36, "group_norm": 21, "layer_norm": 12, "attention": 8},
    "pixels": {"conv2d": 27, "matmul": 11, "group_norm": 25, "attention": 4, "reduce": 2, "gather": 1, "silu": 1},
    "streams": {"matmul": 21, "layer_norm": 6, "rms_norm": 6, "attention": 2, "silu": 1},
    "patches": {"conv2d": 1, "matmul": 8, "layer_norm": 3, "attention": 1, "gather": 1, "silu": 1},
    "decoder": {"conv2d": 17, "group_norm": 14, "matmul": 2, "attention": 1},
}
CASES = [(name, 18) for name in FOUND] + [("streams", 23), ("decoder", 23)]


@pytest.mark.parametrize(("name", "opset"), CASES, ids=[f"{name}-{opset}" for name, opset in CASES])
def test_a_network(name: str, opset: int) -> None:
    counts = check_same(export_tiny(name, opset), {})
    rotations = {"Neg"} if name == "streams" else set()
    assert {kind: count for kind, count in counts.items() if kind not in VIEWS | TIMES | rotations} == FOUND[name]

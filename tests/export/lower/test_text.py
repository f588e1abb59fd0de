"""What a plan is said to be and to cost."""

import json

import pytest
from fused_graph import lower, parse
from tiny_program import tiny_program

from fewstep.export.lower.cost import cost
from fewstep.export.lower.text import describe, facts, target_name


def test_a_program_as_text() -> None:
    program, _ = tiny_program()
    text = describe(program)
    assert "tiny: for cpu, float32, batch 2" in text
    assert "b1 f32[2, 3] = map(b0, w) [code (mul 0 1) (const 0.5) (add 2 3) (silu 4)]" in text
    assert "18 FLOP" in text and "memory: 128 bytes" in text and "throughout" in text


def test_what_a_plan_for_a_gpu_has_launches_for() -> None:
    assert target_name({"device": "cuda", "architectures": [80, 90]}) == "sm_80, sm_90"
    assert target_name({"device": "cuda", "architectures": [90], "ptx": 80}) == "sm_90 and PTX of sm_80"


def test_the_same_as_data() -> None:
    program, _ = tiny_program()
    found = json.loads(json.dumps(facts(program)))
    assert found["arena"] == 128 and found["floor"] == 128
    assert found["stages"][0]["ops"][0]["flop"] == 18  # three instructions for each of six elements
    assert found["stages"][0]["bytes"] == 24 + 12 + 24


CALLS = {
    "conv2d <padding = [1, 1, 1, 1]> (x, w)": ("float[2, 4, 6, 6] x, float[8, 4, 3, 3] w", "2, 8, 6, 6", 2 * 576 * 36),
    "matmul (x, w)": ("float[3, 5, 4] x, float[4, 7] w", "3, 5, 7", 2 * 15 * 4 * 7),
    "attention <scale = 0.5> (x, w, w)": ("float[1, 2, 5, 4] x, float[1, 2, 3, 4] w", "1, 2, 5, 4", 4 * 40 * 3),
    "softmax (x)": ("float[3, 5] x", "3, 5", 75),
    'reduce <kind = "sum", axes = 1> (x)': ("float[3, 5] x", "3", 15),
}


@pytest.mark.parametrize("call", CALLS)
def test_operations_count_their_products(call: str) -> None:
    inputs, shape, flop = CALLS[call]
    program, _ = lower(parse(f"g ({inputs}) => (float[{shape}] y) {{ y = fewstep.{call} }}"))
    (op,) = program.stages[0].ops
    assert cost(program, op).flop == flop

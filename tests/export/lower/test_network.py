"""A graph of views and operations becomes a program that equals it, with the fewest copies."""

import numpy as np
import pytest
from fused_graph import F32, check, kinds, lower, parse, random_inputs
from run_program import run_program

from fewstep.errors import LoweringError
from fewstep.export.lower.draft import DEFAULTS
from fewstep.export.lower.precision import Types
from fewstep.export.lower.program import Program

CONV = "conv2d <padding = [1, 1, 1, 1]>"


def fused(text: str) -> Program:
    """A program that ran without reading what was not written."""
    model = parse(text)
    program, weights = lower(model)
    outputs = run_program(program, weights, random_inputs(model))
    assert all(np.isfinite(value).all() for value in outputs.values())
    return program


def test_views_move_nothing() -> None:
    program = check("""g (float[2, 6, 8] x) => (float[8, 2, 3] y, float[3, 2, 8] z) <int64[4] s = {2, 3, 2, 8},
        int64[1] from = {1}, int64[1] to = {8}, int64[1] axes = {3}, int64[1] step = {2}, int64[1] one = {2},
        int64[3] wide = {8, 2, 3}> {
        r = Reshape(x, s) t = Transpose <perm = [3, 0, 2, 1]> (r) a, b = Split <axis = 2, num_outputs = 2> (t)
        n = Squeeze(b, one) y = Neg(n) c = Slice(r, from, to, axes, step) u = Transpose <perm = [1, 0, 2, 3]> (r)
        p, q = Split <axis = 2, num_outputs = 2> (u) k = Squeeze(p, one) z = Abs(k) }""")
    assert kinds(program) == ["map", "map"]


def test_a_reshape_that_no_strides_say_is_one_copy() -> None:
    program = check("""g (float[4, 6] x) => (float[24] y) <int64[1] s = {24}> {
        t = Transpose <perm = [1, 0]> (x) r = Reshape(t, s) y = Exp(r) }""")
    assert kinds(program) == ["copy", "map"]


def test_parts_of_a_concatenation_are_written_into_it() -> None:
    program = check("""g (float[2, 3, 4] x, float[2, 5, 4] z) => (float[2, 10, 4] y) <int64[2] w = {2, 1}> {
        a = Exp(x) b = Tanh(z) d = Neg(x) p, q = Split <axis = 1> (d, w)
        c = Concat <axis = 1> (a, b, p) y = Abs(c) }""")
    assert kinds(program) == ["map", "map", "map", "copy", "map"]


def test_a_concatenation_is_reached_through_views() -> None:
    program = check("""g (float[2, 3, 4] x, float[2, 12] z) => (float[2, 4, 6] y)
        <int64[3] s = {2, 3, 4}> {
        a = Exp(x) b = Tanh(z) r = Reshape(b, s) c = Concat <axis = 1> (a, r)
        t = Transpose <perm = [0, 2, 1]> (c) y = Abs(t) }""")
    assert kinds(program) == ["map", "map", "map"]


def test_a_part_that_is_in_its_place_already_is_not_copied_onto_itself() -> None:
    program = check("""g (float[1, 8] x, float[6, 4] z) => (float[1, 32] y) <int64[2] s = {1, 24}> {
        a = Exp(x) b = Tanh(z) r = Reshape(b, s) c = Concat <axis = 1> (a, r) y = Abs(c) }""")
    assert kinds(program) == ["map", "map", "map"]


def test_the_same_part_twice_and_inputs_are_copied() -> None:
    program = check("""g (float[2, 3] x) => (float[2, 9] y) {
        a = Exp(x) y = Concat <axis = 1> (a, x, a) }""")
    assert kinds(program) == ["map", "copy", "copy"]


def test_images_lie_with_channels_innermost_and_their_tokens_cost_nothing() -> None:
    program = fused(f"""g (float[2, 4, 6, 6] x, float[8, 4, 3, 3] w, float[8, 8] v) => (float[2, 36, 8] y)
        <float[2, 8, 6, 6] h, float[2, 8, 36] r, float[2, 36, 8] t, int64[3] s = {{2, 8, 36}}> {{
        h = fewstep.{CONV} (x, w) r = Reshape(h, s) t = Transpose <perm = [0, 2, 1]> (r)
        y = fewstep.matmul (t, v) }}""")
    assert kinds(program) == ["conv2d", "matmul"]
    conv, product = program.stages[0].ops
    assert program.values[conv.outputs[0]].strides[1] == 1
    assert program.values[conv.inputs[0] or 0].strides[1] == 1
    assert program.values[product.outputs[0]].shape == (72, 8)  # one product for the batch


@pytest.mark.parametrize("values", ["f16", "bf16"])
def test_half_precision_is_of_what_lies_between(values: str) -> None:
    model = parse("""g (float[2, 8] x) => (float[2, 8] y) <float[8] w = {1, 2, 3, 4, 5, 6, 7, 100000}> {
        a = Mul(x, w) s = Transpose(a) t = Transpose(s) y = Tanh(t) }""")
    program, weights = lower(model, Types(values, "f32", values))
    types = [program.values[op.outputs[0]].type for op in program.stages[0].ops]
    assert types == [values, "f32"]
    (weight,) = weights.values()
    assert weight.type == ("f32" if values == "f16" else "bf16")  # 100000 is no half
    x = random_inputs(model)["x"] * np.float32(1e-3)
    expected = np.tanh(x * weight.array().astype(np.float32))
    np.testing.assert_allclose(run_program(program, weights, {"x": x})["y"], expected, rtol=0.02, atol=1e-4)


def test_equal_weights_are_stored_once() -> None:
    model = parse("""g (float[2, 3] x) => (float[2, 3] y) <float[3] v = {1, 2, 3}, float[3] w = {1, 2, 3}> {
        a = Mul(x, v) y = Add(a, w) }""")
    program, weights = lower(model, F32)
    assert len(weights) == 1 and len(program.values) == 3


def test_what_no_plan_holds_is_refused() -> None:
    with pytest.raises(LoweringError, match="steps of 1 and more"):
        lower(parse("""g (float[6] x) => (float[6] y) <int64[1] a = {5}, int64[1] b = {-9}, int64[1] k = {0},
            int64[1] s = {-1}> { r = Slice(x, a, b, k, s) y = Neg(r) }"""))  # fmt: skip
    with pytest.raises(LoweringError, match="attribute groups, eps is missing"):
        lower(parse("g (float[2, 3] x) => (float[2, 3] y) { y = fewstep.group_norm (x) }"))
    assert DEFAULTS["conv2d"]["upsample"] == 1

"""Elementwise operations fuse into the fewest maps and compute what onnxruntime does."""

import numpy as np
import onnx_ir as ir
import pytest
from fused_graph import check, kinds, lower, parse
from run_program import run_program

from fewstep.errors import LoweringError
from fewstep.export.lower.compile_network import compile_network
from fewstep.export.lower.placed import Weights
from fewstep.export.lower.program import Program

UNARY = ["Neg", "Abs", "Exp", "Sin", "Cos", "Tanh", "Erf", "Sigmoid", "Relu", "Floor", "Ceil", "Round", "Sign"]
UNARY += ["Reciprocal"]
BINARY = ["Add", "Sub", "Mul", "Div", "Max", "Min"]
COMPARISONS = ["Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual"]


@pytest.mark.parametrize("operation", UNARY)
def test_one_operand(operation: str) -> None:
    program = check(f"g (float[2, 3, 5] x) => (float[2, 3, 5] y) {{ y = {operation}(x) }}")
    assert kinds(program) == ["map"]


@pytest.mark.parametrize("operation", BINARY)
def test_two_operands_that_broadcast(operation: str) -> None:
    program = check(f"g (float[2, 1, 5] a, float[3, 1] b) => (float[2, 3, 5] y) {{ y = {operation}(a, b) }}")
    assert kinds(program) == ["map"]


@pytest.mark.parametrize("operation", COMPARISONS)
def test_comparisons_choose(operation: str) -> None:
    program = check(f"""g (float[4, 5] a, float[4, 5] b) => (float[4, 5] y) {{
        r = Round(a) s = Round(b) c = {operation}(r, s) n = Not(c) both = Or(c, n) one = And(c, both)
        y = Where(one, a, b) }}""")
    assert kinds(program) == ["map"]


def test_roots_and_logarithms() -> None:
    check("""g (float[7] x) => (float[7] y) { p = Abs(x) r = Sqrt(p) one = Constant <value_float = 1.5> ()
        l = Add(p, one) k = Log(l) q = Pow(l, k) y = Mul(q, r) }""")


def test_casts_cut_towards_zero() -> None:
    check("""g (float[9] x) => (float[9] y, int64[9] i) {
        i = Cast <to = 7> (x) f = Cast <to = 1> (i) b = Cast <to = 9> (i) z = Cast <to = 1> (b) y = Add(f, z) }""")


def test_a_copy_of_integers_has_no_code() -> None:
    program = check(
        "g (int64[3, 2] x) => (int64[6] y) { t = Transpose(x) s = Constant <value_ints = [6]> () y = Reshape(t, s) }"
    )
    assert kinds(program) == ["copy"]


def test_a_chain_is_one_map_with_its_constants_inside() -> None:
    program = check("""g (float[2, 6] x, float[6] w) => (float[2, 6] y) {
        c = Constant <value_float = 3.0> () a = Mul(x, w) s = Sigmoid(a) b = Mul(a, s) d = Add(b, c)
        low = Constant <value_float = -1.0> () high = Constant <value_float = 4.0> () y = Clip(d, low, high) }""")
    assert kinds(program) == ["map"]
    (op,) = program.stages[0].ops
    assert len(op.inputs) == 2 and [line[0] for line in op.attributes["code"]].count("const") == 3


def test_what_two_maps_need_is_made_once_unless_it_is_cheap() -> None:
    twice = """g (float[8] x) => (float[8] y, float[2, 8] z, float[2, 8] v) <float[2, 1] c = {{1.0, 2.0}}> {{
        e = {} y = Tanh(e) z = Mul(e, c) v = Sub(e, c) }}"""
    assert kinds(check(twice.format("Exp(x)"))) == ["map"] * 4
    assert kinds(check(twice.format("Neg(x)"))) == ["map"] * 3


def test_a_scale_of_a_channel_is_added_where_it_is_used() -> None:
    program = check("""g (float[2, 3, 4, 4] x, float[2, 3, 1, 1] s) => (float[2, 3, 4, 4] y) {
        one = Constant <value_float = 1.0> () t = Add(s, one) y = Mul(x, t) }""")
    assert kinds(program) == ["map"]


def test_infinities_are_constants_too() -> None:
    model = parse("""g (float[5] x) => (float[5] y) <float c = {1.0}, float d = {1.0}, float z = {0.0}> {
        k = Greater(x, z) m = Where(k, x, c) e = Exp(m) y = Min(e, d) }""")
    for name, number in (("c", -np.inf), ("d", np.inf)):
        value = model.graph.initializers[name]
        value.const_value = ir.tensor(np.array(number, np.float32), name=name)
    program, weights = lower(model)
    x = np.array([-2, -1, 0, 1, 2], np.float32)
    expected = np.where(x > 0, np.exp(x), 0)
    np.testing.assert_allclose(run_program(program, weights, {"x": x})["y"], expected, rtol=1e-6)
    assert kinds(program) == ["map"] and not weights


def test_many_operands_become_several_maps() -> None:
    names = [f"x{i}" for i in range(20)]
    body = "s0 = Add(x0, x1) " + " ".join(f"s{i} = Add(s{i - 1}, x{i + 1})" for i in range(1, 19))
    program = check(f"g ({', '.join(f'float[3] {name}' for name in names)}) => (float[3] s18) {{ {body} }}")
    assert kinds(program) == ["map"] * 2
    assert all(len(op.inputs) <= 16 for op in program.stages[0].ops)


def test_long_chains_become_several_maps() -> None:
    body = "s0 = Neg(x) " + " ".join(f"s{i} = {'Sin' if i % 2 else 'Abs'}(s{i - 1})" for i in range(1, 90))
    program = check(f"g (float[3] x) => (float[3] s89) {{ {body} }}")
    assert len(kinds(program)) < 10
    assert all(len(op.attributes["code"]) <= 256 for op in program.stages[0].ops)


def test_an_unknown_operation_names_node_and_backend() -> None:
    model = parse("g (float[3] x) => (float[3] y) { y = Selu(x) }")
    with pytest.raises(LoweringError, match=r"Selu.*onnxruntime"):
        lower(model)


def divided(number: float) -> tuple[Program, Weights]:
    graph = f"g (float[4096] x) => (float[4096] y) {{ n = Constant <value_float = {number}> () y = Div(x, n) }}"
    return compile_network(parse(graph), sizes={}, target={"device": "cpu"}, precision="float32")


@pytest.mark.parametrize("number", [1000.0, 3.0, 0.18215, -7.0])
def test_a_quotient_by_a_number_is_rounded_once(number: float) -> None:
    """As a product with the reciprocal it is often an ulp off, and an angle of a thousand times that much more."""
    program, weights = divided(number)
    x = np.linspace(-999, 999, 4096, dtype=np.float32)
    assert kinds(program) == ["map"]
    np.testing.assert_array_equal(run_program(program, weights, {"x": x})["y"], x / np.float32(number))


def test_a_quotient_by_a_power_of_2_is_a_product() -> None:
    (op,) = divided(0.125)[0].stages[0].ops
    assert [line[0] for line in op.attributes["code"]] == ["const", "mul"]

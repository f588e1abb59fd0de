"""matmul, conv2d and what they take in after them; activations however they are written."""

import re

import pytest
from fused_comparison import VIEWS, check_same
from onnx_text import graph

ROWS = {"x": ("B", 5, 6)}
WEIGHTS = {"w": (6, 8), "wt": (8, 6), "b": (8,)}
IMAGE = {"x": ("B", 4, 6, 5)}
FILTERS = {"w": (8, 4, 3, 3), "b": (8,), "b3": (8, 1, 1)}
CURVES = {
    "silu": "c = Sigmoid({x})\n {y} = Mul(c, {x})",
    "gelu": "a = Div({x}, 1.4142135)\n e = Erf(a)\n p = Add(1.0, e)\n h = Mul({x}, p)\n {y} = Mul(h, 0.5)",
    "gelu of a half": "h = Mul(0.5, {x})\n a = Mul({x}, 0.70710677)\n e = Erf(a)\n p = Add(e, 1.0)\n {y} = Mul(p, h)",
    "gelu_tanh": """
        cube = Pow({x}, 3.0)
        a = Mul(cube, 0.044715)
        s = Add({x}, a)
        u = Mul(0.7978846, s)
        t = Tanh(u)
        p = Add(t, 1.0)
        h = Mul({x}, 0.5)
        {y} = Mul(h, p)
    """,
}


def kinds(counts: dict[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in counts.items() if kind not in VIEWS}


@pytest.mark.parametrize("curve", CURVES)
def test_activations_go_into_what_makes_their_operand(curve: str) -> None:
    body = CURVES[curve].format(x="z", y="y")
    assert kinds(check_same(graph(f"m = MatMul(x, w)\n z = Add(m, b)\n{body}", ROWS, WEIGHTS), {"B": 2})) == {
        "matmul": 1
    }
    assert kinds(check_same(graph(f"z = Conv <pads = [1, 1, 1, 1]> (x, w, b)\n{body}", IMAGE, FILTERS), {"B": 2})) == {
        "conv2d": 1
    }
    assert kinds(check_same(graph(body.replace("z", "x"), ROWS), {"B": 2})) == {curve.split()[0]: 1}


@pytest.mark.parametrize(
    "body",
    [
        "a = Mul(x, 1.702)\n c = Sigmoid(a)\n y = Mul(c, x)",
        "c = Sigmoid(z)\n y = Mul(c, x)",
        "h = Mul(0.4, x)\n a = Mul(x, 0.70710677)\n e = Erf(a)\n p = Add(e, 1.0)\n y = Mul(p, h)",
        "c = Sigmoid(x)\n d = Clip(c, 0.0, 0.9)\n y = Mul(d, x)",
    ],
    ids=["quick gelu", "of another", "another factor", "capped"],
)
def test_other_curves_stay_arithmetic(body: str) -> None:
    found = check_same(graph(body, {**ROWS, "z": ROWS["x"]}), {"B": 2})
    assert not {"silu", "gelu", "gelu_tanh"} & found.keys()


@pytest.mark.parametrize(
    "body",
    [
        "y = Gemm <transB = 1> (x, wt, b)",
        "y = Gemm <alpha = 0.5, beta = 2.0> (x, w, b)",
        "y = Gemm <transA = 1, transB = 1, alpha = -1.5> (xt, wt)",
        "m = MatMul(x, w)\n s = Mul(0.5, m)\n z = Add(b, s)\n t = Tanh(z)\n g = Mul(g0, t)\n y = Add(r, g)",
        "m = MatMul(x, w)\n z = Add(m, b)\n y = Add(z, r)",
        "m = MatMul(x, w)\n y = Mul(m, g0)",
    ],
    ids=["transposed", "alpha, beta", "both transposed", "everything", "residual", "gate"],
)
def test_matmul_and_what_follows(body: str) -> None:
    inputs: dict[str, tuple[int | str, ...]] = {"x": ("B", 6), "xt": (6, "B"), "r": ("B", 8), "g0": (1, 8)}
    used = {name: shape for name, shape in inputs.items() if re.search(rf"\b{name}\b", body)}
    assert kinds(check_same(graph(body, used, WEIGHTS), {"B": 3})) == {"matmul": 1}


def test_an_epilogue_is_taken_in_its_order_alone() -> None:
    inputs = {**ROWS, "r": ("B", 5, 8)}
    late_curve = "m = MatMul(x, w)\n z = Add(m, r)\n y = Tanh(z)"
    assert kinds(check_same(graph(late_curve, inputs, WEIGHTS), {"B": 2})) == {"matmul": 1, "Tanh": 1}
    late_scale = "m = MatMul(x, w)\n z = Add(m, b)\n y = Mul(z, 0.5)"
    assert kinds(check_same(graph(late_scale, ROWS, WEIGHTS), {"B": 2})) == {"matmul": 1, "Mul": 1}
    read_twice = "m = MatMul(x, w)\n t = Tanh(m)\n y = Add(t, m)"
    assert kinds(check_same(graph(read_twice, ROWS, WEIGHTS), {"B": 2})) == {"matmul": 1, "Tanh": 1, "Add": 1}


@pytest.mark.parametrize("order", ["v, g", "g, v"])
@pytest.mark.parametrize("curve", ["silu", "gelu", "gelu_tanh"])
def test_gated_halves(curve: str, order: str) -> None:
    gated = CURVES[curve].format(x="g", y="active")
    halves = f"{order} = Split <axis = -1, num_outputs = 2> (z)"
    body = f"m = MatMul(x, w)\n z = Add(m, b)\n {halves}\n{gated}\n y = Mul(v, active)"
    assert kinds(check_same(graph(body, ROWS, WEIGHTS), {"B": 2})) == {"matmul": 1}


def test_two_products_gate_each_other() -> None:
    body = "a = MatMul(x, w)\n s = Sigmoid(a)\n g = Mul(a, s)\n v = MatMul(x, w2)\n y = Mul(g, v)"
    assert kinds(check_same(graph(body, ROWS, {"w": (6, 8), "w2": (6, 8)}), {"B": 2})) == {"matmul": 2}


def test_a_residual_behind_views() -> None:
    body = """
        m = MatMul(x, w)
        image = Reshape(m, [0, 5, 1, 8])
        first = Transpose <perm = [0, 3, 1, 2]> (image)
        y = Add(first, r)
    """
    assert kinds(check_same(graph(body, {**ROWS, "r": ("B", 8, 5, 1)}, WEIGHTS), {"B": 2})) == {"matmul": 1}


@pytest.mark.parametrize(
    "attributes",
    [
        "pads = [1, 1, 1, 1]",
        "pads = [0, 1, 2, 0], strides = [2, 1]",
        'auto_pad = "SAME_UPPER", strides = [2, 2]',
        'auto_pad = "SAME_LOWER"',
        "dilations = [2, 1]",
    ],
)
def test_conv_of_any_geometry(attributes: str) -> None:
    assert kinds(check_same(graph(f"y = Conv <{attributes}> (x, w, b)", IMAGE, FILTERS), {"B": 2})) == {"conv2d": 1}


@pytest.mark.parametrize("turned", [False, True])
def test_conv_takes_in_embedding_residual_scale_and_curve(turned: bool) -> None:
    inputs = {**IMAGE, "e": ("B", 8, 1, 1), "r": ("B", 8, 6, 5)}
    operands = [("c", "b3"), ("z", "e"), ("h", "r")]
    first, second, third = (f"{b}, {a}" if turned else f"{a}, {b}" for a, b in operands)
    body = f"""
        c = Conv <pads = [1, 1, 1, 1]> (x, w)
        z = Add({first})
        h = Add({second})
        i = Add({third})
        s = Mul(i, 0.7)
        y = Relu(s)
    """
    assert kinds(check_same(graph(body, inputs, FILTERS), {"B": 3})) == {"conv2d": 1}


def test_conv_of_repeated_pixels_and_of_a_margin() -> None:
    modes = 'mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"'
    body = f"u = Resize <{modes}> (x, , , [1, 4, 12, 10])\n y = Conv <pads = [1, 1, 1, 1]> (u, w, b)"
    assert check_same(graph(body, {"x": (1, 4, 6, 5)}, FILTERS), {}) == {"conv2d": 1}
    body = "p = Pad(x, [0, 0, 0, 1, 0, 0, 1, 2])\n y = Conv <strides = [2, 2]> (p, w, b)"
    found = check_same(graph(body, IMAGE, FILTERS), {"B": 2})
    assert kinds(found) == {"conv2d": 1} and "Concat" not in found


def test_conv_of_rows_groups_and_shallow_volumes() -> None:
    rows = graph("y = Conv <pads = [1, 0]> (x, w)", {"x": ("B", 4, 7)}, {"w": (6, 4, 3)})
    assert kinds(check_same(rows, {"B": 2})) == {"conv2d": 1}
    groups = graph("y = Conv <group = 4, pads = [1, 1, 1, 1]> (x, w)", IMAGE, {"w": (8, 1, 3, 3)})
    assert kinds(check_same(groups, {"B": 2})) == {"conv2d": 1}
    volume = graph("y = Conv <pads = [2, 1, 1, 0, 1, 1]> (x, w)", {"x": ("B", 4, 1, 6, 5)}, {"w": (8, 4, 3, 3, 3)})
    assert kinds(check_same(volume, {"B": 2})) == {"conv2d": 1}

"""group_norm, layer_norm and rms_norm in the forms that exporters write them, and what only looks like one."""

import pytest
from fused_comparison import VIEWS, check_same
from onnx_text import graph

IMAGE = {"x": ("B", 8, 5, 3), "s": ("B", 8, 1, 1), "t": ("B", 8, 1, 1)}
GROUPS = {"w": (8, 1, 1), "b": (8, 1, 1), "w8": (8,), "b8": (8,)}
INSTANCE = """
    flat = Reshape(x, [0, 4, -1])
    normal = InstanceNormalization <epsilon = 1e-5> (flat, ones, zeros)
    shape = Shape(x)
    back = Reshape(normal, shape)
"""
ONES = """
    ones = ConstantOfShape <value = float[1] {1.0}> ([4])
    zeros = ConstantOfShape <value = float[1] {0.0}> ([4])
"""
PRIMITIVES = """
    flat = Reshape(x, [0, 4, -1])
    mean = ReduceMean <keepdims = 1> (flat, [-1])
    d = Sub(flat, mean)
    dd = Mul(d, d)
    variance = ReduceMean <keepdims = 1> (dd, [2])
    above = Add(variance, 1e-05)
    deviation = Sqrt(above)
    normal = Div(d, deviation)
    shape = Shape(x)
    back = Reshape(normal, shape)
"""
AFFINE = """
    weighted = Mul(back, w)
    y = Add(weighted, b)
"""


def kinds(counts: dict[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in counts.items() if kind not in VIEWS}


@pytest.mark.parametrize("B", [1, 3])
@pytest.mark.parametrize("form", [ONES + INSTANCE + AFFINE, PRIMITIVES + AFFINE], ids=["instance", "primitives"])
def test_group_norm(form: str, B: int) -> None:
    assert kinds(check_same(graph(form, {"x": IMAGE["x"]}, GROUPS), {"B": B})) == {"group_norm": 1}


@pytest.mark.parametrize("opset", [18, 21])
def test_group_norm_of_onnx_is_per_group_and_later_per_channel(opset: int) -> None:
    weights = {"w": (4,), "b": (4,)} if opset == 18 else {"w": (8,), "b": (8,)}
    body = "y = GroupNormalization <num_groups = 4, epsilon = 1e-4> (x, w, b)"
    assert kinds(check_same(graph(body, {"x": IMAGE["x"]}, weights, opset), {"B": 2})) == {"group_norm": 1}


@pytest.mark.parametrize(
    "film",
    [
        "p = Add(s, 1.0)\n m = Mul(y, p)\n z = Add(m, t)",
        "p = Add(1.0, s)\n m = Mul(p, y)\n z = Add(t, m)",
    ],
)
@pytest.mark.parametrize("curve", ["c = Sigmoid(z)\n out = Mul(z, c)", "c = Sigmoid(z)\n out = Mul(c, z)"])
def test_film_and_silu_go_into_the_norm(film: str, curve: str) -> None:
    model = graph(f"{ONES}{INSTANCE}{AFFINE}\n{film}\n{curve}", IMAGE, GROUPS)
    assert kinds(check_same(model, {"B": 3})) == {"group_norm": 1}


def test_a_factor_that_is_no_sum_with_one_stays_outside() -> None:
    body = "m = Mul(y, s)\n out = Add(m, t)"
    assert kinds(check_same(graph(f"{ONES}{INSTANCE}{AFFINE}\n{body}", IMAGE, GROUPS), {"B": 2})) == {
        "group_norm": 1,
        "Mul": 1,
        "Add": 1,
    }
    body = "p = Add(s, 2.0)\n m = Mul(y, p)\n out = Add(m, t)"
    found = kinds(check_same(graph(f"{ONES}{INSTANCE}{AFFINE}\n{body}", IMAGE, GROUPS), {"B": 2}))
    assert found == {"group_norm": 1, "Mul": 1, "Add": 2}


def test_a_norm_that_is_read_twice_takes_nothing_in() -> None:
    model = graph(f"{ONES}{INSTANCE}{AFFINE}\n c = Sigmoid(y)\n z = Mul(c, y)\n out = Add(z, y)", IMAGE, GROUPS)
    assert kinds(check_same(model, {"B": 1})) == {"group_norm": 1, "silu": 1, "Add": 1}


def test_a_reshape_to_another_shape_makes_no_groups() -> None:
    other = ONES + INSTANCE.replace("shape = Shape(x)", "").replace("(normal, shape)", "(normal, [0, 4, 5, -1])")
    found = check_same(graph(f"{other} y = Add(back, 1.0)", {"x": IMAGE["x"]}), {"B": 2})
    assert found["group_norm"] == 1 and found["Reshape"] == 2


def test_the_weights_of_one_pixel_are_no_weights_of_channels() -> None:
    model = graph(f"{ONES}{INSTANCE} y = Mul(back, w)", {"x": ("B", 8, 8, 8)}, {"w": (8, 1)})
    assert kinds(check_same(model, {"B": 1})) == {"group_norm": 1, "Mul": 1}


def test_a_sum_that_only_the_norm_reads_is_its_residual() -> None:
    body = "x = Add(a, r)" + ONES + INSTANCE + AFFINE
    model = graph(body, {"a": IMAGE["x"], "r": IMAGE["x"]}, GROUPS)
    assert kinds(check_same(model, {"B": 2})) == {"group_norm": 1}


ROWS = {"x": ("B", 7, 6), "s": ("B", 1, 6), "t": ("B", 1, 6)}
LAYER = """
    mean = ReduceMean <keepdims = 1> (x, [-1])
    d = Sub(x, mean)
    dd = {square}
    variance = ReduceMean <keepdims = 1> (dd, [-1])
    above = Add({sum})
    root = Sqrt(above)
    {quotient}
"""
RMS = """
    xx = {square}
    square = ReduceMean <keepdims = 1> (xx, [-1])
    above = Add(square, 1e-6)
    root = Sqrt(above)
    {quotient}
"""
QUOTIENTS = ["y = Div({d}, root)", "r = Reciprocal(root)\n y = Mul({d}, r)", "r = Div(1.0, root)\n y = Mul(r, {d})"]
MODULATION = "p = Add(s, 1.0)\n m = Mul(y, p)\n out = Add(m, t)"


@pytest.mark.parametrize("quotient", QUOTIENTS, ids=["div", "reciprocal", "one over"])
@pytest.mark.parametrize("square", ["Mul({d}, {d})", "Pow({d}, 2.0)"])
def test_primitive_norms_of_rows(square: str, quotient: str) -> None:
    of_d, of_x = (
        {"square": square.format(d=d), "quotient": quotient.format(d=d), "sum": "variance, 1e-5"} for d in ("d", "x")
    )
    affine = "a = Mul(y, w)\n out = Add(a, b)"
    rows, weights = {"x": ROWS["x"]}, {"w": (6,), "b": (6,)}
    for body, kind in ((LAYER.format(**of_d), "layer_norm"), (RMS.format(**of_x), "rms_norm")):
        assert kinds(check_same(graph(body + affine, rows, weights), {"B": 3})) == {kind: 1}


@pytest.mark.parametrize("opset", [18, 23])
def test_norms_of_onnx_and_their_modulation(opset: int) -> None:
    body = "y = LayerNormalization <axis = -1, epsilon = 1e-6> (x, w, b)\n" + MODULATION
    assert kinds(check_same(graph(body, ROWS, {"w": (6,), "b": (6,)}, opset), {"B": 3})) == {"layer_norm": 1}
    if opset >= 23:
        body = body.replace("Layer", "RMS").replace(", b)", ")")
        assert kinds(check_same(graph(body, ROWS, {"w": (6,)}, opset), {"B": 2})) == {"rms_norm": 1}


def test_several_axes_are_one() -> None:
    body = "y = LayerNormalization <axis = 1> (x, w, b)"
    found = check_same(graph(body, {"x": ("B", 4, 6)}, {"w": (4, 6), "b": (4, 6)}), {"B": 2})
    assert kinds(found) == {"layer_norm": 1}


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (RMS.replace("[-1]", "[1]").format(square="Mul(x, x)", quotient="y = Div(x, root)"), "rms_norm"),
        (RMS.format(square="Mul(z, z)", quotient="y = Div(x, root)"), "rms_norm"),
        (RMS.format(square="Mul(x, x)", quotient="y = Div(z, root)"), "rms_norm"),
        (RMS.format(square="Mul(x, x)", quotient="y = Div(root, x)"), "rms_norm"),
        (LAYER.format(square="Mul(x, x)", quotient="y = Div(d, root)", sum="variance, 1e-5"), "layer_norm"),
        (LAYER.format(square="Mul(d, d)", quotient="y = Div(z, root)", sum="variance, 1e-5"), "layer_norm"),
    ],
    ids=["other axis", "other square", "other dividend", "upside down", "raw moment", "other dividend of layer"],
)
def test_what_only_looks_like_a_norm_stays_arithmetic(body: str, kept: str) -> None:
    model = graph(body, {"x": ("B", 7, 6), "z": ("B", 7, 6)})
    found = check_same(model, {"B": 2})
    assert kept not in found and found["reduce"] > 0

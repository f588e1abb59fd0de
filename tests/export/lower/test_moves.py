"""What moves elements, what becomes elementwise arithmetic, and what no plan has."""

import numpy as np
import onnx_ir as ir
import pytest
from fused_comparison import VIEWS, check_same, random_inputs
from numpy.typing import NDArray
from onnx_text import graph

from fewstep.errors import LoweringError
from fewstep.export.lower.fuse import fuse

IMAGE = {"x": ("B", 8, 6, 4)}
NEAREST = 'Resize <mode = "nearest", coordinate_transformation_mode = "{0}", nearest_mode = "{1}"> (x, , scales)'


@pytest.mark.parametrize(
    "body",
    [
        'y = DepthToSpace <blocksize = 2, mode = "CRD"> (x)',
        'y = DepthToSpace <blocksize = 2, mode = "DCR"> (x)',
        "y = SpaceToDepth <blocksize = 2> (x)",
        "y = Gather <axis = 1> (x, -2)",
        "y = Gather <axis = 2> (x, [1, 3, 5])",
        "y = Slice(x, [1, -3], [100, -1], [1, 2])",
        "y = Slice(x, [0], [-1], [3], [2])",
        "y = Flatten <axis = 2> (x)",
        "u = Unsqueeze(x, [1, 4])\n s = Squeeze(u, [1])\n y = Transpose <perm = [0, 4, 1, 2, 3]> (s)",
        "y = Tile(x, [1, 2, 1, 3])",
        "y = Expand(x, [3, 1, 1, 1, 1])",
        "y = Pad(x, [0, 1, 0, 0, 0, 0, -1, 2], 0.5)",
        'y = Pad <mode = "edge"> (x, [0, 0, 1, 2, 0, 0, 0, 1])',
        "a, b, c = Split <axis = 1> (x, [1, 3, 4])\n y = Concat <axis = 1> (c, a, b)",
        "s = Shape(x)\n e = ConstantOfShape <value = float[1] {2.5}> (s)\n y = Concat <axis = -1> (x, e)",
        "y = Trilu <upper = 1> (k)",
    ],
)
def test_only_views_are_left(body: str) -> None:
    inputs = {} if "(k)" in body else IMAGE
    found = check_same(graph(body, inputs, {"k": (4, 4)}), {"B": 2})
    assert found.keys() <= VIEWS | {"Identity"}


PLACED = "i = Expand(places, [2, 3, 6, 4])\n a, b = Split <axis = 1> (x, [3, 5])\n"


@pytest.mark.parametrize("places", [[2, 3, 4], [-8, 7, 5], [6, 0, 2]])
def test_slices_that_are_scattered_are_parts_of_a_concatenation(places: list[int]) -> None:
    model = graph(PLACED + "y = ScatterElements <axis = 1> (x, i, a)", IMAGE, {"places": (1, 3, 1, 1)})
    model.graph.initializers["places"].const_value = ir.tensor(np.array(places).reshape(1, 3, 1, 1))
    model.graph.initializers["places"].type = ir.TensorType(ir.DataType.INT64)
    assert check_same(model, {"B": 2}).keys() <= VIEWS


def test_a_tensor_that_is_filled_slice_by_slice_is_one_concatenation() -> None:
    body = """z = ConstantOfShape([2, 5, 4])
        f = ScatterElements <axis = 0> (z, first, x)
        e = ScatterElements <axis = 0> (f, second, k)
        y = Neg(e)"""
    model = graph(body, {"x": (1, 5, 4)}, {"k": (1, 5, 4), "first": (1, 5, 4), "second": (1, 5, 4)})
    for name, place in (("first", 0), ("second", 1)):
        model.graph.initializers[name].const_value = ir.tensor(np.full((1, 5, 4), place))
        model.graph.initializers[name].type = ir.TensorType(ir.DataType.INT64)
    assert check_same(model, {}) == {"Concat": 1, "Neg": 1}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Gather <axis = 2> (x, [4, 0, 1])", {"gather": 1}),
        ("y = Slice(x, [-1], [-100], [2], [-1])", {"gather": 1}),
        ("y = Gather <axis = 0> (k, i)", {"gather": 1}),
        ("y = GlobalAveragePool(x)", {"reduce": 1}),
        ("y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x)", {"reduce": 1}),
        ("y = MaxPool <kernel_shape = [3, 2], strides = [3, 2]> (x)", {"reduce": 1}),
        ("y = ReduceMean <keepdims = 0> (x, [1, -1])", {"reduce": 1}),
        ("y = ReduceMax(x)", {"reduce": 1}),
        ("y = ReduceL2 <keepdims = 1> (x, [1])", {"reduce": 1, "Mul": 1, "Sqrt": 1}),
        ("y = Softmax <axis = 1> (x)", {"softmax": 1}),
        ('y = Einsum <equation = "bchw->wb"> (x)', {"reduce": 1}),
        ('y = Einsum <equation = "bchw,cd->bdhw"> (x, n)', {"matmul": 1}),
        ('y = Einsum <equation = "bchw,cd->bhd"> (x, n)', {"matmul": 1, "reduce": 1}),
    ],
)
def test_one_operation_is_left(body: str, expected: dict[str, int]) -> None:
    inputs = {"i:i": ("B", 3)} if "(k, i)" in body else IMAGE
    found = check_same(graph(body, inputs, {"k": (2, 5), "n": (8, 5)}), {"B": 2})
    assert {kind: count for kind, count in found.items() if kind not in VIEWS} == expected


@pytest.mark.parametrize("form", [("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")])
@pytest.mark.parametrize("factors", [(2.0, 2.0), (1.0, 3.0)])
def test_nearest_pixels_are_repeated(form: tuple[str, str], factors: tuple[float, float]) -> None:
    model = graph(f"y = {NEAREST.format(*form)}", IMAGE, {"scales": (4,)})
    model.graph.initializers["scales"].const_value = ir.tensor(np.array([1, 1, *factors], np.float32))
    assert check_same(model, {"B": 2}).keys() <= VIEWS


def indexed(body: str, indices: NDArray[np.int64]) -> ir.Model:
    model = graph(body, IMAGE, {"indices": (1,), "w": (8, 8, 3, 3)})
    model.graph.initializers["indices"].const_value = ir.tensor(indices)
    model.graph.initializers["indices"].type = ir.TensorType(ir.DataType.INT64)
    model.graph.initializers["indices"].shape = ir.Shape(indices.shape)
    return model


def test_an_image_that_is_enlarged_by_indexing_it_is_a_convolutions_to_enlarge() -> None:
    pixels = np.stack(np.meshgrid(np.arange(12) // 2, np.arange(8) // 2, indexing="ij"), axis=-1)
    moved = "t = Transpose <perm = [2, 3, 0, 1]> (x)\n g = GatherND(t, indices)\n"
    body = f"{moved} b = Transpose <perm = [2, 3, 0, 1]> (g)\n y = Conv <pads = [1, 1, 1, 1]> (b, w)"
    model = indexed(body, pixels)
    assert check_same(model, {"B": 2}) == {"conv2d": 1}
    conv = fuse(model, {"B": 2})[0].graph.node(0)
    assert conv.attributes["upsample"].value == 2


def test_gather_nd_by_other_indices_is_rows_of_a_table() -> None:
    indices = np.array([[1, -8], [0, 3], [-1, 7]])
    assert check_same(indexed("y = GatherND(x, indices)", indices), {"B": 2})["gather"] == 1
    assert check_same(indexed("y = GatherND(x, indices)", np.array([[0], [0], [1], [1]])), {"B": 2})["gather"] == 0
    with pytest.raises(LoweringError, match=r"GatherND cannot be lowered: its indices are not all within \(2, 8\)"):
        fuse(indexed("y = GatherND(x, indices)", indices + 1), {"B": 2})


@pytest.mark.parametrize("kind", ["ArgMax", "ArgMin"])
def test_rows_by_computed_indices(kind: str) -> None:
    place = f"a = {kind} <axis = 1, keepdims = 0> (x)\n i = Mod(a, [2, 8, 6, 4])\n"
    assert check_same(graph(f"{place} y = GatherND(x, i)", IMAGE), {"B": 2})["gather"] == 1
    assert check_same(graph(f"{place} n = Sub(i, [2, 8, 6, 4])\n y = GatherND(x, n)", IMAGE), {"B": 2})["gather"] == 1


def test_the_first_of_equal_values() -> None:
    ties = "r = Round(x)\n a = ArgMax <axis = 1> (r)\n b = ArgMin <axis = -1, keepdims = 0> (r)\n"
    check_same(graph(f"{ties} c = Unsqueeze(b, [3])\n s = Add(a, c)\n y = Cast <to = 1> (s)", IMAGE), {"B": 3})


@pytest.mark.parametrize(
    "body",
    [
        "t = Greater(x, 0.0)\n g = Gather <axis = 1> (t, [3, 1, 0])\n y = Cast <to = 1> (g)",
        "t = Greater(x, 0.0)\n i = Cast <to = 7> (t)\n s = ReduceSum <keepdims = 0> (i, [1])\n y = Cast <to = 1> (s)",
    ],
)
def test_truths_and_integers_are_gathered_and_summed_as_floats(body: str) -> None:
    model = graph(body, IMAGE)
    check_same(model, {"B": 2})
    (node,) = (node for node in fuse(model, {"B": 2})[0].graph if node.op_type in ("gather", "reduce"))
    assert node.inputs[0] is not None and node.inputs[0].dtype == ir.DataType.FLOAT


@pytest.mark.parametrize(
    "body",
    [
        "y = Clip(x, -0.5, 0.7)",
        "y = LeakyRelu <alpha = 0.2> (x)",
        "y = PRelu(x, slope)",
        "y = Elu <alpha = 0.7> (x)",
        "y = Selu(x)",
        "y = HardSigmoid <alpha = 0.3> (x)",
        "y = HardSwish(x)",
        "y = Softplus(x)",
        "y = Mish(x)",
        "y = Max(x, 0.1, slope)",
        "y = Mean(x, slope)",
        "a = Abs(x)\n y = Pow(a, 0.5)",
        "a = Exp(x)\n r = Sqrt(a)\n y = Reciprocal(r)",
        "c = IsNaN(x)\n y = Where(c, slope, x)",
        "y = Sub(1.0, x)",
        "y = Sub(x, 1.5)",
        "y = Div(x, 3.0)",
        "a = Mul(x, 1.0)\n b = Add(0.0, a)\n y = Neg(b)",
    ],
)
def test_elementwise_operations_are_a_maps(body: str) -> None:
    found = check_same(graph(body, IMAGE, {"slope": (8, 1, 1)}), {"B": 2})
    assert not found.keys() & {"Clip", "Mean", "IsNaN", "Selu"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("n = NonZero(x)\n y = Cast <to = 1> (n)", "NonZero cannot be lowered: the shape of its result depends"),
        ("y = Det(x)", "Det cannot be lowered: no plan has it; onnxruntime can run it"),
        ('y = Resize <mode = "cubic"> (x, , scales)', "Resize cannot be lowered: its mode is 'cubic'"),
        (
            "i = Expand(1, [1, 1])\n y = GatherND <batch_dims = 1> (x, i)",
            "GatherND cannot be lowered: its indices differ for each batch",
        ),
        ("i = ArgMax <select_last_index = 1> (x)\n y = Cast <to = 1> (i)", "it asks for the last of equal values"),
        ("y = MaxPool <kernel_shape = [3, 3]> (x)", "MaxPool cannot be lowered: no plan has it"),
        ("i = ArgMax <axis = -1> (x)\n y = ScatterElements(x, i, x)", "its indices are computed or not of shape"),
        (
            "i = Expand(1, [1, 2, 4, 4])\n y = ScatterElements(x, i, x)",
            r"not of shape \[1, 8, 4, 4\]; expected",
        ),
        ("i = Expand(7, [1, 8, 4, 4])\n y = ScatterElements(x, i, x)", "or are not all within axis 0"),
        (
            'i = Expand(0, [1, 8, 4, 4])\n y = ScatterElements <reduction = "add"> (x, i, x)',
            "its reduction is 'add'; expected 'none'",
        ),
    ],
)
def test_what_no_plan_has_is_refused(body: str, reason: str) -> None:
    model = graph(body, {"x": ("B", 8, 4, 4)}, {"scales": (4,)})
    if "scales" in model.graph.initializers:
        model.graph.initializers["scales"].const_value = ir.tensor(np.array([1, 1, 2, 2], np.float32))
    with pytest.raises(LoweringError, match=reason):
        fuse(model, {"B": 1})


def test_a_size_that_is_not_given_is_refused() -> None:
    with pytest.raises(LoweringError, match=r"input x: size B is not given; expected it among \['N'\]"):
        fuse(graph("y = Neg(x)", IMAGE), {"N": 1})


def test_inputs_and_outputs_keep_their_types_and_names() -> None:
    model = graph("y = Neg(x)", {"h:x": (2, 3)})
    fused, _ = fuse(model, {})
    (x,), (y,) = fused.graph.inputs, fused.graph.outputs
    assert (x.name, x.dtype, y.name, y.dtype) == ("x", ir.DataType.FLOAT16, "y", ir.DataType.FLOAT16)
    assert check_same(model, {}, random_inputs(model, {}), bound=1e-3)["Neg"] == 1


def test_a_large_transposed_weight_is_a_view_of_itself() -> None:
    model = graph("t = Transpose <perm = [1, 0]> (w)\n y = MatMul(x, t)", {"x": ("B", 300)}, {"w": (400, 300)})
    weight = model.graph.initializers["w"].const_value
    fused, _ = fuse(model, {"B": 2})
    assert fused.graph.initializers["w"].const_value is weight
    assert [node.op_type for node in fused.graph] == ["Transpose", "matmul"]


def test_reports_count_what_was_rewritten() -> None:
    _, reports = fuse(graph("a = Identity(x)\n c = Sigmoid(a)\n y = Mul(a, c)", IMAGE), {"B": 1})
    found = {report.name: report for report in reports}
    assert (found["activations"].rewrites, found["activations"].before, found["activations"].after) == (1, 2, 1)

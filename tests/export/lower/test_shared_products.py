"""Products of one value become one, and what cannot be part of another stays."""

import numpy as np
import onnx_ir as ir
import pytest
from fused_comparison import check_same, random_inputs, run_onnx
from onnx_text import graph
from run_program import run_program

from fewstep.export.lower import shared_products
from fewstep.export.lower.compile_network import compile_network
from fewstep.export.lower.fuse import fuse

ROWS = {"x": ("B", 5, 6), "h": ("B", 5, 8)}
WEIGHTS = {"q": (6, 8), "k": (6, 4), "v": (6, 3), "c": (8,), "d": (4,)}
LARGE = {"z": ("B", 3, 80)}, {"s": (80, 80), "t": (60, 80), "u": (70, 80)}  # too large to be transposed beforehand
SUM = "\n l = Abs(p)\n m = Neg(r)\n y = Concat <axis = 2> (l, m)"
APART = {
    "one has a bias": "a = MatMul(x, q)\n p = Add(a, c)\n r = MatMul(x, k)" + SUM,
    "one has a curve": "p = MatMul(x, q)\n a = MatMul(x, k)\n r = Tanh(a)" + SUM,
    "one is scaled": "p = MatMul(x, q)\n a = MatMul(x, k)\n r = Mul(a, 0.5)" + SUM,
    "of two values": "p = MatMul(x, q)\n z = Exp(x)\n r = MatMul(z, k)" + SUM,
    "one is added to": "a = MatMul(x, q)\n p = Add(a, h)\n r = MatMul(x, k)" + SUM,
    "go where they are needed": "p = MatMul(x, q)\n r = MatMul(x, k)\n y = Concat <axis = 2> (p, r)",
}


def products(text: str) -> int:
    return check_same(graph(text, ROWS, WEIGHTS), {"B": 2})["matmul"]


@pytest.mark.parametrize("name", APART)
def test_products_that_differ_stay_apart(name: str) -> None:
    assert products(APART[name]) == 2


def test_products_of_one_value_are_one() -> None:
    assert products("p = MatMul(x, q)\n r = MatMul(x, k)" + SUM) == 1
    assert products("a = MatMul(x, q)\n p = Add(a, c)\n b = MatMul(x, k)\n r = Add(b, d)" + SUM) == 1
    assert products("a = MatMul(x, q)\n p = Tanh(a)\n b = MatMul(x, k)\n r = Tanh(b)" + SUM) == 1


@pytest.mark.parametrize(("second", "left"), [("v = Transpose(t)\n r = MatMul(z, v)", 1), ("r = MatMul(z, s)", 2)])
def test_weights_may_be_transposed_but_alike(second: str, left: int) -> None:
    body = f"w = Transpose(u)\n p = MatMul(z, w)\n {second}{SUM}"
    assert check_same(graph(body, *LARGE), {"B": 2})["matmul"] == left


def test_a_weight_that_others_read_stays() -> None:
    assert products("p = MatMul(x, q)\n a = MatMul(x, k)\n e = Exp(x)\n b = MatMul(e, k)\n r = Mul(a, b)" + SUM) == 3


THREE = """
    p = MatMul(x, q)
    r = MatMul(x, k)
    s = MatMul(x, v)
    e = Exp(s)
    f = ReduceMax(e)
    n = Cos(p)
    l = Mul(n, f)
    m = Neg(r)
    y = Concat <axis = 2> (l, m)
"""


@pytest.mark.parametrize(("limit", "left"), [(6 * 15, 1), (6 * 14, 2), (6 * 11, 2), (6 * 6, 3)])
def test_the_joined_weight_is_limited(limit: int, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_products, "LARGEST", limit)
    assert products(THREE) == left


def test_a_program_reads_parts_of_one_and_its_weight_is_made_when_it_is_read() -> None:
    model = graph(THREE, ROWS, WEIGHTS)
    fused, reports = fuse(model, {"B": 2})
    (joined,) = (v.const_value for v in fused.graph.initializers.values() if v.shape == ir.Shape((6, 15)))
    assert isinstance(joined, ir.LazyTensor) and not joined.cache
    assert {report.name: report.rewrites for report in reports}["shared products"] == 3
    program, weights = compile_network(model, sizes={"B": 2}, target={"device": "cpu"})
    inputs = random_inputs(model, {"B": 2})
    (expected,) = run_onnx(model, inputs).values()
    (found,) = run_program(program, weights, inputs).values()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())

"""attention in the forms that exporters write it, and what only looks like one."""

import pytest
from fused_comparison import VIEWS, check_same
from onnx_text import graph

ROWS = {"q": ("B", 2, 5, 4), "k": ("B", 2, 7, 4), "v": ("B", 2, 7, 6)}
MASKED = {**ROWS, "m": (5, 7)}
SCORES = {
    "after": "kt = Transpose <perm = [0, 1, 3, 2]> (k)\n raw = MatMul(q, kt)\n s = Mul(raw, 0.3)",
    "before": "a = Mul(q, 0.3)\n kt = Transpose <perm = [0, 1, 3, 2]> (k)\n s = MatMul(a, kt)",
    "divided": "kt = Transpose <perm = [0, 1, 3, 2]> (k)\n raw = MatMul(q, kt)\n s = Div(raw, 2.0)",
    "both sides": "a = Mul(q, 0.5)\n kt = Transpose <perm = [0, 1, 3, 2]> (k)\n b = Mul(0.5, kt)\n s = MatMul(a, b)",
    "einsum": 'raw = Einsum <equation = "bhnd,bhmd->bhnm"> (q, k)\n s = Mul(0.3, raw)',
}
WEIGHTED = {
    "matmul": "p = Softmax <axis = -1> (s)\n y = MatMul(p, v)",
    "einsum": 'p = Softmax <axis = 3> (s)\n y = Einsum <equation = "bhnm,bhmd->bnhd"> (p, v)',
    "transposed": """
        p = Softmax <axis = -1> (s)
        pt = Transpose <perm = [0, 1, 3, 2]> (p)
        vt = Transpose <perm = [0, 1, 3, 2]> (v)
        y = MatMul(vt, pt)
    """,
}


def kinds(counts: dict[str, int]) -> dict[str, int]:
    return {kind: count for kind, count in counts.items() if kind not in VIEWS}


@pytest.mark.parametrize("weighted", WEIGHTED.values(), ids=WEIGHTED)
@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
def test_products_around_a_softmax(scores: str, weighted: str) -> None:
    assert kinds(check_same(graph(f"{scores}\n{weighted}", ROWS), {"B": 3})) == {"attention": 1}


@pytest.mark.parametrize("mask", ["z = Add(s, m)", "z = Add(m, s)"])
@pytest.mark.parametrize("scores", [SCORES["after"], SCORES["before"]])
def test_a_mask_that_is_added(scores: str, mask: str) -> None:
    body = f"{scores}\n{mask}\n p = Softmax <axis = -1> (z)\n y = MatMul(p, v)"
    assert kinds(check_same(graph(body, MASKED), {"B": 2})) == {"attention": 1}


def test_a_softmax_in_float32_between_halves() -> None:
    body = """
        kt = Transpose <perm = [0, 1, 3, 2]> (k)
        s = MatMul(q, kt)
        wide = Cast <to = 1> (s)
        p = Softmax <axis = -1> (wide)
        narrow = Cast <to = 10> (p)
        h = MatMul(narrow, v)
        y = Cast <to = 1> (h)
    """
    halves = {f"h:{name}": shape for name, shape in ROWS.items()}
    assert kinds(check_same(graph(body, halves), {"B": 1}, bound=2e-3)) == {"attention": 1, "Cast": 3}


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_of_any_rank(rank: int) -> None:
    front = ("B", 2, 3)[: rank - 2]
    perm = [*range(rank - 2), rank - 1, rank - 2]
    body = f"kt = Transpose <perm = {perm}> (k)\n s = MatMul(q, kt)\n p = Softmax <axis = -1> (s)\n y = MatMul(p, v)"
    shapes = {"q": (*front, 5, 4), "k": (*front, 7, 4), "v": (*front, 7, 6)}
    assert kinds(check_same(graph(body, shapes), {"B": 2})) == {"attention": 1}


def test_a_factor_before_the_heads_are_taken_apart() -> None:
    body = """
        a = Mul(q, 0.25)
        heads = Reshape(a, [0, 5, 2, 4])
        rows = Transpose <perm = [0, 2, 1, 3]> (heads)
        kt = Transpose <perm = [0, 1, 3, 2]> (k)
        s = MatMul(rows, kt)
        p = Softmax <axis = -1> (s)
        y = MatMul(p, v)
    """
    assert kinds(check_same(graph(body, {**ROWS, "q": ("B", 5, 8)}), {"B": 2})) == {"attention": 1}


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        ("y = Attention <scale = 0.4> (q, k, v)", ROWS),
        ("y = Attention <is_causal = 1> (q, k, v)", ROWS),
        ("y = Attention (q, k, v, m)", MASKED),
        ("c = Greater(m, -1.0)\n y = Attention (q, k, v, c)", MASKED),
        ("y = Attention (q, k, v)", {**ROWS, "q": ("B", 6, 5, 4)}),
        (
            "y = Attention <q_num_heads = 3, kv_num_heads = 3> (q, k, v)",
            {"q": ("B", 5, 12), "k": ("B", 7, 12), "v": ("B", 7, 6)},
        ),
    ],
    ids=["scale", "causal", "mask", "truths", "grouped heads", "packed heads"],
)
def test_attention_of_onnx(body: str, inputs: dict[str, tuple[int | str, ...]]) -> None:
    found = kinds(check_same(graph(body, inputs, opset=23), {"B": 2}))
    assert found.pop("attention") == 1 and found.keys() <= {"Greater", "Where"}


@pytest.mark.parametrize(
    "body",
    [
        f"{SCORES['after']}\n p = Softmax <axis = -2> (s)\n y = MatMul(p, v)",
        f"{SCORES['after']}\n p = Softmax <axis = -1> (s)\n o = MatMul(p, v)\n t = ReduceSum(p)\n y = Add(o, t)",
        f"{SCORES['after']}\n t = ReduceSum(s)\n p = Softmax <axis = -1> (s)\n o = MatMul(p, v)\n y = Add(o, t)",
        f"{SCORES['after']}\n c = Tanh(s)\n p = Softmax <axis = -1> (c)\n y = MatMul(p, v)",
        f"{SCORES['after']}\n p = Softmax <axis = -1> (s)\n h = Mul(p, 0.5)\n y = MatMul(h, v)",
    ],
    ids=["other axis", "weights are read", "scores are read", "scores are capped", "weights are scaled"],
)
def test_what_only_looks_like_attention_stays_products(body: str) -> None:
    found = check_same(graph(body, ROWS), {"B": 2})
    assert (found["attention"], found["softmax"]) == (0, 1)

"""Networks with causal order and masks, run by their launches over the arena of their plan."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest
from fused_comparison import assert_same, run_onnx
from launched import launched
from onnx_text import graph
from run_program import Machine

from fewstep.export.lower.compile_network import compile_network

pytestmark = pytest.mark.filterwarnings("ignore:(divide by zero|invalid value|overflow):RuntimeWarning")

B, N, C = 2, 19, 32
WEIGHTS: dict[str, tuple[int, ...]] = {
    "table": (40, C), "places": (N, C), "one": (C,), "two": (C,), "wq": (C, C), "wk": (C, C), "wv": (C, C),
    "wo": (C, C), "up": (C, 2 * C), "down": (2 * C, C),
}  # fmt: skip
HEADS = "\n".join(
    f"{x}f = MatMul(h, w{x})\n {x}h = Reshape({x}f, [0, 0, 2, {C // 2}])\n {x} = Transpose <perm = [0, 2, 1, 3]> ({x}h)"
    for x in "qkv"
)


def encoder(attention: str) -> ir.Model:
    """A block of a text encoder: tokens, attention over them, and what follows it."""
    body = f"""
        e = Gather(table, tokens)
        x = Add(e, places)
        h = LayerNormalization <axis = -1> (x, one)
        {HEADS}
        {attention}
        rows = Transpose <perm = [0, 2, 1, 3]> (o)
        flat = Reshape(rows, [0, 0, {C}])
        p = MatMul(flat, wo)
        r = Add(x, p)
        g = LayerNormalization <axis = -1> (r, two)
        wide = MatMul(g, up)
        act = Gelu(wide)
        m = MatMul(act, down)
        y = Add(r, m)
    """
    return graph(body, {"i:tokens": (B, N)}, WEIGHTS, opset=23)


ENCODERS: Mapping[str, str] = {
    "causal": "o = Attention <is_causal = 1, scale = 0.05> (q, k, v)",
    "masked": """
        pad = Equal(tokens, 0)
        left = Cast <to = 1> (pad)
        bias = Mul(left, -10000.0)
        row = Reshape(bias, [0, 1, 1, -1])
        mask = Expand(row, [1, 1, 19, 1])
        o = Attention <scale = 0.05> (q, k, v, mask)
    """,
}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_text_encoder_by_its_launches(name: str, device: str) -> None:
    model = encoder(ENCODERS[name])
    tokens = np.random.default_rng(0).integers(1, 40, (B, N))
    tokens[0, 11:] = tokens[1, 16:] = 0
    plan = compile_network(model, sizes={}, target={"device": "cpu"}, name=name)
    (attention,) = (op for op in plan[0].stages[0].ops if op.op == "attention")
    assert (attention.attributes["causal"], len(attention.inputs) > 3) == (name == "causal", name == "masked")
    found = launched(*plan, 80).run({"tokens": tokens})
    assert_same(found, Machine(*plan).run({"tokens": tokens}), 1e-4)
    assert_same(found, run_onnx(model, {"tokens": tokens}), 1e-4)

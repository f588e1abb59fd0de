"""Sines and cosines of times mean something in half precision too."""

import numpy as np
from onnx_text import graph
from run_program import run_program

from fewstep.export.lower.compile_network import compile_network
from fewstep.export.lower.fuse import fuse
from fewstep.export.lower.network import lower_network
from fewstep.export.lower.precision import stage_types
from fewstep.export.lower.weights import WeightFile

EMBEDDING = graph(
    """
    column = Unsqueeze (tau, [1])
    scaled = Mul (column, 2.0)
    product = Mul (scaled, frequencies)
    c = Cos (product)
    s = Sin (product)
    both = Concat <axis = 1> (c, s)
    y = MatMul (both, w)
    """,
    {"tau": (1,)},
    {"frequencies": (1, 16), "w": (32, 8)},
)


def test_frequencies_are_not_rounded() -> None:
    program, weights = compile_network(EMBEDDING, sizes={}, target={"device": "cpu"}, precision="float16")
    found = run_program(program, weights, {"tau": np.array([999], np.float32)})["y"]
    held = {value.name: value.const_value for value in EMBEDDING.graph.initializers.values()}
    frequencies, w = (np.asarray(held[name].numpy(), np.float64) for name in ("frequencies", "w"))  # type: ignore[union-attr]
    product = 2 * 999 * frequencies
    expected = np.concatenate([np.cos(product), np.sin(product)], axis=1) @ w
    assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()


def test_angles_are_float32_on_a_gpu_and_their_waves_are_not() -> None:
    fused, _ = fuse(EMBEDDING, {})
    lowered = lower_network(fused.graph, {}, WeightFile(), stage_types("float16", "cuda")["network"])
    types = {
        name: {draft.outputs[0].type for draft in lowered.ops if name in str(draft.attributes.get("code"))}
        for name in ("mul", "cos", "sin")
    }
    assert types == {"mul": {"f32"}, "cos": {"f16"}, "sin": {"f16"}}

"""Whether a fused graph computes what the graph it came from does, by onnxruntime."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from fused_evaluation import Values, evaluate

from fewstep.export.lower.fuse import fuse

BOUND = 2e-5  # of the largest value: what fp32 may be off by in a network of a hundred layers

VIEWS = {"Reshape", "Transpose", "Slice", "Split", "Concat", "Expand", "Identity"}


def run_onnx(model: ir.Model, inputs: Values) -> Values:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([node.name for node in session.get_outputs()], session.run(None, inputs), strict=True))


def random_inputs(model: ir.Model, sizes: Mapping[str, int], seed: int = 0, below: int = 2) -> Values:
    """Normal numbers, and whole ones below `below`."""
    rng = np.random.default_rng(seed)
    found: Values = {}
    for value in model.graph.inputs:
        assert value.shape is not None and value.dtype is not None
        shape = [size if isinstance(size, int) else sizes[str(size.value)] for size in value.shape]
        floating = value.dtype.is_floating_point()
        drawn = rng.standard_normal(shape) if floating else rng.integers(0, below, shape)
        found[str(value.name)] = np.asarray(drawn, value.dtype.numpy())
    return found


def check_same(
    model: ir.Model, sizes: Mapping[str, int], inputs: Values | None = None, bound: float = BOUND
) -> Counter[str]:
    """Fuses, runs both, compares; returns how many of each operation the fused graph has."""
    fused, _ = fuse(model, sizes)
    inputs = inputs or random_inputs(model, sizes)
    expected = run_onnx(model, inputs)
    got = evaluate(fused, inputs)
    assert_same(got, expected, bound)
    return Counter(node.op_type for node in fused.graph)


def assert_same(got: Values, expected: Values, bound: float = BOUND) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].shape == value.shape
        error = np.abs(got[name].astype(np.float64) - value).max()
        assert error <= bound * max(np.abs(value).max(), 1e-3), (name, error, np.abs(value).max())

"""What a graph's work is counted as, against the operations' definitions; and what the shipped model saves."""

from math import prod
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from fewstep.api import open_model
from fewstep.engine.bundle_manifest import STAGES
from fewstep.export.staging.report import bundle_saving, measure_work

Sizes = tuple[int | str, ...]


def graph(node: onnx.NodeProto, inputs: dict[str, Sizes], weights: dict[str, tuple[int, ...]], opset: int) -> ir.Model:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    tensors = [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()]
    outputs = [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)]
    made = helper.make_graph([node], "g", values, outputs, tensors)
    return ir.from_proto(helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10))


@pytest.mark.parametrize(
    ("op", "attributes", "inputs", "weights", "multiplications"),
    [
        ("MatMul", {}, {"a": ("B", 5, 7)}, {"b": (7, 3)}, 5 * 7 * 3),
        ("MatMul", {}, {"a": ("B", 2, 5, 7), "b": ("B", 2, 7, 3)}, {}, 2 * 5 * 7 * 3),
        ("Gemm", {"transB": 1}, {"a": ("B", 7)}, {"b": (3, 7), "c": (3,)}, 7 * 3),
        ("Gemm", {"transA": 1}, {"a": (7, "B")}, {"b": (7, 3)}, 7 * 3),
        ("Conv", {"strides": [2, 2]}, {"x": ("B", 4, 9, 9)}, {"w": (6, 4, 3, 3)}, 4 * 4 * 6 * 4 * 9),
        ("Conv", {"group": 4}, {"x": ("B", 4, 9, 9)}, {"w": (4, 1, 3, 3)}, 7 * 7 * 4 * 9),
        ("ConvTranspose", {"strides": [2, 2]}, {"x": ("B", 4, 5, 5)}, {"w": (4, 6, 2, 2)}, 10 * 10 * 4 * 6),
        ("Einsum", {"equation": "bid,bjd->bij"}, {"a": ("B", 5, 7), "b": ("B", 3, 7)}, {}, 5 * 3 * 7),
        ("Einsum", {"equation": "b...d,de->b...e"}, {"a": ("B", 5, 2, 7)}, {"w": (7, 3)}, 5 * 2 * 7 * 3),
        ("Attention", {}, {"q": ("B", 4, 5, 8), "k": ("B", 2, 6, 8), "v": ("B", 2, 6, 10)}, {}, 4 * 5 * 6 * (8 + 10)),
        (
            "Attention",
            {"q_num_heads": 4, "kv_num_heads": 2},
            {"q": ("B", 5, 32), "k": ("B", 6, 16), "v": ("B", 6, 20)},
            {},
            4 * 5 * 6 * (8 + 10),
        ),
        ("Softmax", {}, {"a": ("B", 5)}, {}, 0),
    ],
)
def test_a_multiplication_with_its_sum_is_two(
    op: str,
    attributes: dict[str, Any],
    inputs: dict[str, Sizes],
    weights: dict[str, tuple[int, ...]],
    multiplications: int,
) -> None:
    node = helper.make_node(op, [*inputs, *weights], ["y"], **attributes)
    work = measure_work(graph(node, inputs, weights, opset=23))
    assert (work.nodes, work.flop) == (1, 2 * multiplications)
    assert work.weights == 4 * sum(prod(shape) for shape in weights.values())


def test_the_shipped_model_s_products_are_each_in_one_stage() -> None:
    saving = bundle_saving(open_model("toons16"), "denoiser")
    assert saving is not None and tuple(saving.stages) == STAGES
    assert sum(work.flop for work in saving.stages.values()) == saving.whole.flop
    assert sum(work.nodes for work in saving.stages.values()) == saving.whole.nodes
    assert saving.removed.flop == saving.whole.flop - saving.stages["step"].flop > 0
    assert saving.removed.weights > 700_000  # of fp16: the two layers of the time and all of FiLM

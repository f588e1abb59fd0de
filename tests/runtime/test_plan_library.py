"""Launches that are products of a library: nothing but the operation itself, in a layout that the library has."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from launch_bytes import refusal
from plan_bytes import DELETED, Draft, edited, plan_bytes, strides

from fewstep import _runtime

PLAIN = {"activation": "gelu_tanh", "scale": 0.5, "glu": ""}
SIZES = ((2, 3, 4), (2, 4, 5), (5,), (2, 3, 5))  # of a, b, bias and y, which are values 0 to 3


def plan(sizes: Sequence[Sequence[int]] = SIZES, **attributes: Any) -> Draft:
    """y = gelu(0.5 a b + bias) in buffers with room behind each value; value 4 is the workspace, 5 to 7 are given."""
    out = Draft(device="cuda", architectures=[90])
    for shape in sizes:
        out.value("f32", *shape)
        out.buffers[-1][1] += 512
    workspace = out.value("u8", 1000)
    out.inputs = {name: out.value("f32", 4, buffer=buffer) for buffer, name in enumerate(("a", "b", "bias"))}
    out.op("matmul", [0, 1, 2], [3], **PLAIN | attributes)
    out.stages[0]["ops"][0]["launches"] = [
        {
            "library": "cublaslt", "architecture": 90, "a": 0, "b": 1, "bias": 2, "y": 3, "scale": 0.5,
            "activation": "gelu_tanh", "workspace": workspace,
        }
    ]  # fmt: skip
    out.outputs = {"y": 3}
    return out


VIEWS: dict[str, dict[str, Any]] = {
    "rows": {},
    "columns of a": {"values/0/strides": [12, 1, 3]},
    "columns of b": {"values/1/strides": [20, 1, 4]},
    "gaps": {"values/3/strides": [40, 8, 1]},
    "shared a": {"values/0/strides": [0, 4, 1]},
    "shared b": {"values/1/strides": [0, 5, 1]},
    "halves": {f"values/{value}/type": "f16" for value in range(4)},
    "sums of halves": {f"values/{value}/type": "bf16" for value in range(2)},
    "no workspace": {"stages/0/ops/0/launches/0/workspace": None},
    "no bias": {"stages/0/ops/0/launches/0/bias": None, "stages/0/ops/0/inputs": [0, 1]},
}


@pytest.mark.parametrize("edits", VIEWS.values(), ids=VIEWS)
def test_products(edits: dict[str, Any]) -> None:
    made = plan()
    _runtime.check_plan(plan_bytes(edited(made.document(), edits), made.tensors))


LAUNCH: list[tuple[dict[str, Any], str]] = [
    ({"library": "cublas"}, 'library: expected "cublaslt"'),
    ({"library": 1}, "library: expected a string, got 1"),
    ({"library": DELETED}, 'expected one of "cubin", "ptx" and "library"'),
    ({"architecture": 80}, "architecture 80 is none of the plan's"),
    ({"cubin": "x"}, 'unknown key "cubin"'),
    ({"params": []}, 'unknown key "params"'),
    ({"a": 1}, "expected the operation's own a, b, bias and y"),
    ({"b": 0}, "expected the operation's own a, b, bias and y"),
    ({"y": 0}, "expected the operation's own a, b, bias and y"),
    ({"bias": None}, "expected the operation's own a, b, bias and y"),
    ({"y": None}, "y: expected an integer from 0 to 7, got null"),
    ({"a": 8}, "a: expected an integer from 0 to 7, got 8"),
    ({"scale": 1.0}, "expected the operation's own scale and activation"),
    ({"scale": "x"}, 'scale: expected a number, got "x"'),
    ({"activation": ""}, "expected the operation's own scale and activation"),
    ({"workspace": 3}, "workspace: expected contiguous bytes of a buffer"),
    ({"workspace": 8}, "workspace: expected an integer from 0 to 7, got 8"),
    ({"workspace": DELETED}, 'key "workspace" is missing'),
    ({"values/0/strides": [12, 0, 1]}, "a: expected rows or columns with steps of 1"),
    ({"values/0/strides": [12, 3, 1]}, "a: expected rows or columns with steps of 1"),
    ({"values/1/strides": [20, 10, 2]}, "b: expected rows or columns with steps of 1"),
    ({"values/3/strides": [60, 10, 2]}, "y: expected rows or columns with steps of 1"),
    ({"values/3/strides": [15, 1, 3]}, "y: expected rows with steps of 1"),
    ({"values/0/type": "f16"}, "expected a and b of one type"),
    ({"values/3/type": "f16"}, "y: expected the type of a, or f32"),
    ({"values/2/type": "f16"}, "bias: expected the type of y"),
    ({"values/2/strides": [2]}, "bias: expected steps of 1"),
    ({"values/4/strides": [0]}, "workspace: expected contiguous bytes of a buffer"),
    ({"values/4/shape": [10, 10], "values/4/strides": [10, 1]}, "workspace: expected contiguous bytes of a buffer"),
    ({"values/4/step": 1}, "workspace: expected contiguous bytes of a buffer"),
    ({"values/4/buffer": 3, "values/4/shape": [64]}, "workspace: expected a buffer of its own"),
    ({"values/4/buffer": 0, "values/4/shape": [64]}, "workspace: expected a buffer of its own"),
]


@pytest.mark.parametrize(("edits", "message"), LAUNCH, ids=[str(edits) for edits, _ in LAUNCH])
def test_a_launch(edits: dict[str, Any], message: str) -> None:
    found = refusal(plan(), edits)
    assert message in found and "launches[0]" in found, found


def test_distances_of_a_batch() -> None:
    deep = plan([(2, *SIZES[0]), (2, *SIZES[1]), SIZES[2], (2, *SIZES[3])])
    _runtime.check_plan(deep.bytes())
    apart = refusal(deep, {"values/0/strides": [30, 12, 4, 1]})
    assert "a: expected rows or columns with steps of 1, and one distance between matrices" in apart


def test_sizes() -> None:
    many = plan([(65536, 65536, 1, 1), (65536, 65536, 1, 1), (1,), (65536, 65536, 1, 1)])
    for value in range(2):
        many.values[value]["strides"] = [0, 0, 1, 1]
    assert "a: expected at most 2147483647 rows, columns and matrices" in refusal(many)
    large = plan()
    large.values[4]["shape"] = [(64 << 20) + 1]
    large.buffers[4][1] = (64 << 20) + 1
    assert "workspace: expected at most 67108864 bytes, got 67108865" in refusal(large)


def test_bytes_that_are_shared() -> None:
    over_workspace = plan()
    over_workspace.buffers[4][0] = over_workspace.buffers[3][0]
    assert "buffers 3 and 4 share bytes while both are live" in refusal(over_workspace)
    over_a = plan()
    over_a.values[3] |= {"buffer": 0, "offset": 8}
    assert "output 0 shares bytes with input 0, which is not in place" in refusal(over_a)
    square = plan([(3, 4), (4, 4), (4,), (3, 4)])
    square.values[3]["buffer"] = 0
    assert "output 0 shares bytes with input 0, which is not in place" in refusal(square)


def test_a_bias_that_moves() -> None:
    made = plan()
    bias = made.weight("bias", np.ones(8, np.float32), shape=(5,), strides=strides((5,)), step=1)
    made.stages[0]["ops"][0]["inputs"][2] = bias
    assert "bias: its value moves" in refusal(made, {"bias": bias})


def test_a_workspace_of_weights() -> None:
    made = plan()
    assert "workspace: expected contiguous bytes" in refusal(
        made, {"workspace": made.weight("bytes", np.zeros(1000, np.uint8))}
    )


def test_what_is_no_product_of_the_library() -> None:
    residual = plan()
    residual.stages[0]["ops"][0]["inputs"] += [None, residual.given("f32", 2, 3, 5)]
    assert "expected a matmul without glu, gate and residual" in refusal(residual)
    gated = plan()
    gated.stages[0]["ops"][0]["inputs"] += [gated.given("f32", 2, 3, 5)]
    assert "expected a matmul without glu, gate and residual" in refusal(gated)
    glu = plan([(2, 3, 4), (2, 4, 10), (10,), (2, 3, 5)], glu="value_first")
    assert "expected a matmul without glu, gate and residual" in refusal(glu)
    for activation in ("relu", "silu"):
        other = plan(activation=activation)
        assert 'activation: expected "" or "gelu_tanh"' in refusal(other, {"activation": activation})
    softmax = plan()
    softmax.stages[0]["ops"][0] |= {"op": "softmax", "inputs": [0], "outputs": [3], "attributes": {}}
    softmax.values[3] |= {"shape": SIZES[0], "strides": strides(SIZES[0])}
    assert "a library's product is of a matmul alone" in refusal(softmax)


def test_ptx_is_no_librarys() -> None:
    made = plan()
    made.target["ptx"] = 80
    assert "launches: there is none of PTX" in refusal(made)
    assert "architecture 80 is none of the plan's" in refusal(made, {"architecture": 80})

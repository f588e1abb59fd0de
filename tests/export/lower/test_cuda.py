from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from launched import launched
from run_program import Machine

from fewstep.errors import LoweringError
from fewstep.export.lower.assemble import Header, assemble
from fewstep.export.lower.cuda.describe import Target
from fewstep.export.lower.cuda.launches import with_launches
from fewstep.export.lower.draft import Draft, DraftStage, complete
from fewstep.export.lower.memory import plan_memory
from fewstep.export.lower.program import Program, Value
from fewstep.export.lower.views import Storage, View, new_view, row_major
from fewstep.export.lower.weights import Weight

LAST = (0, 2, 3, 1)  # channels innermost
# Masked lanes hold zeros, which numpy divides by where a GPU would not say a word.
pytestmark = pytest.mark.filterwarnings("ignore:(divide by zero|invalid value|overflow):RuntimeWarning")


def weight(*shape: int) -> View:
    """A weight, named after its shape, as a checkpoint has it."""
    name = "x".join(map(str, shape))
    return View(Storage("f32", int(np.prod(shape)), name), shape, row_major(shape))


def view(*shape: int, order: Sequence[int] | None = None, type: str = "f32") -> View:
    return new_view(type, shape, order)


def draft(op: str, inputs: Sequence[View | None], outputs: Sequence[View], **attributes: Any) -> Draft:
    given = attributes if op in ("map", "to_uint8") else complete(op, op, attributes)
    return Draft(op, op, tuple(inputs), tuple(outputs), given)


def network(*ops: Draft) -> Program:
    """Inputs: what no operation writes and no weight holds. Outputs: what the last writes."""
    written = {id(out.storage) for op in ops for out in op.outputs}
    read = {id(x.storage): x for op in ops for x in op.inputs if x is not None and x.storage.weight is None}
    inputs = {f"x{k}": x for k, (storage, x) in enumerate(read.items()) if storage not in written}
    outputs = {f"y{k}": out for k, out in enumerate(ops[-1].outputs)}
    header = Header({"device": "cuda", "architectures": [90]}, "float32", {}, 1)
    return assemble(header, [DraftStage("network", ops)], inputs, outputs)


def values(program: Program, indices: Mapping[str, int]) -> dict[str, Any]:
    random = np.random.default_rng(0)

    def of(value: Value) -> Any:
        return random.integers(0, 5, value.shape) if value.type == "i64" else random.normal(size=value.shape)

    return {name: of(program.values[index]) for name, index in indices.items()}


def weights(program: Program) -> dict[str, Weight]:
    random = np.random.default_rng(1)
    names = sorted({value.weight for value in program.values if value.weight is not None})
    arrays = {name: random.normal(size=[int(n) for n in name.split("x")]).astype(np.float32) for name in names}
    return {name: Weight("f32", array.shape, array.copy) for name, array in arrays.items()}


def check(*ops: Draft, arch: int = 90) -> Any:
    """The launches compute what the program says; returns the program that has them."""
    program = network(*ops)
    given, held = values(program, program.inputs), weights(program)
    expected = Machine(plan_memory(program), held).run(given)
    machine = launched(program, held, arch)
    found = machine.run(given)
    for name, y in expected.items():
        scale = np.abs(y).max()
        assert np.allclose(found[name], y, rtol=1e-4, atol=1e-5 * scale if y.dtype.kind == "f" else 1), name
    return machine


IMAGE = view(2, 6, 5, 4, order=LAST)
OUT = view(2, 8, 5, 4, order=LAST)
CONV = {"padding": [1, 1, 1, 1]}
CONVOLUTIONS: dict[str, Draft] = {
    "all": draft(
        "conv2d",
        [IMAGE, weight(8, 6, 3, 3), weight(8), view(2, 8), view(2, 8, 5, 4, order=LAST)],
        [OUT],
        activation="silu",
        scale=0.5,
        **CONV,
    ),
    "row-major": draft("conv2d", [view(2, 6, 5, 4), weight(8, 6, 3, 3)], [view(2, 8, 5, 4)], **CONV),
    "gelu": draft(
        "conv2d", [IMAGE, weight(8, 6, 3, 3), None, None, view(2, 8, 5, 4)], [OUT], activation="gelu", **CONV
    ),
    "side by side": draft("conv2d", [IMAGE, weight(4, 6, 1, 1)], [view(2, 8, 5, 4, order=LAST).sliced(1, 2, 4)]),
    "uneven": draft(
        "conv2d", [IMAGE, weight(8, 6, 3, 3)], [view(2, 8, 3, 2, order=LAST)], stride=[2, 2], padding=[0, 0, 2, 1]
    ),
    "folded": draft(
        "conv2d", [IMAGE, weight(8, 6, 3, 3), weight(8)], [view(2, 8, 10, 8, order=LAST)], upsample=2, **CONV
    ),
    "enlarged": draft("conv2d", [IMAGE, weight(8, 6, 1, 1)], [view(2, 8, 10, 8, order=LAST)], upsample=2),
    "groups": draft(
        "conv2d", [IMAGE, weight(8, 3, 3, 3), weight(8), None, OUT], [view(2, 8, 5, 4, order=LAST)], groups=2, **CONV
    ),
    "depthwise": draft(
        "conv2d",
        [IMAGE, weight(6, 1, 3, 3), weight(6), view(2, 6), view(2, 6, 5, 4)],
        [view(2, 6, 5, 4, order=LAST)],
        groups=6,
        scale=0.3,
        activation="tanh",
        **CONV,
    ),
    "groups of rows": draft("conv2d", [IMAGE, weight(8, 3, 3, 3)], [view(2, 8, 5, 4)], groups=2, **CONV),
    "depthwise alone": draft("conv2d", [IMAGE, weight(6, 1, 3, 3)], [view(2, 6, 5, 4, order=LAST)], groups=6, **CONV),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str, device: str) -> None:
    check(CONVOLUTIONS[name])


ROWS, B, TOKENS = view(5, 16), weight(16, 24), view(2, 3, 16)
PRODUCTS: dict[str, Draft] = {
    "bias": draft("matmul", [ROWS, B, weight(24)], [view(5, 24)], activation="gelu", scale=0.5),
    "row gate": draft("matmul", [ROWS, B, None, view(5, 24), view(5, 24)], [view(5, 24)]),
    "one gate": draft("matmul", [ROWS, B, None, view(1, 24).expanded((5, 24)), view(5, 24)], [view(5, 24)]),
    "sample gate": draft(
        "matmul",
        [TOKENS, weight(16, 24).expanded((2, 16, 24)), None, view(2, 1, 24).expanded((2, 3, 24)), view(2, 3, 24)],
        [view(2, 3, 24)],
        activation="silu",
    ),
    "token gate": draft(
        "matmul", [TOKENS, weight(16, 24).expanded((2, 16, 24)), None, view(2, 3, 24)], [view(2, 3, 24)]
    ),
    "relu": draft("matmul", [ROWS, B, weight(24), view(5, 24), view(5, 24)], [view(5, 24)], activation="relu"),
    "glu": draft("matmul", [ROWS, B, weight(24)], [view(5, 12)], activation="silu", glu="gate_first"),
    "linear glu": draft("matmul", [ROWS, B, weight(24), view(5, 12)], [view(5, 12)], glu="value_first"),
    "sigmoid glu": draft(
        "matmul", [ROWS, B, None, None, view(5, 12)], [view(5, 12)], activation="sigmoid", glu="gate_first"
    ),
    "batch": draft("matmul", [TOKENS, view(2, 16, 8)], [view(2, 3, 8)], scale=2.0),
    "columns": draft("matmul", [view(5, 16, order=(1, 0)), B], [view(5, 24, order=(1, 0))]),
    "deep": draft("matmul", [view(2, 2, 3, 16), B.expanded((2, 2, 16, 24))], [view(2, 2, 3, 24)]),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name: str, device: str) -> None:
    check(PRODUCTS[name])


NORM = {"eps": 1e-5}
Q, KV = view(2, 4, 5, 16, order=(0, 2, 1, 3)), view(2, 2, 7, 16, order=(0, 2, 1, 3))
OTHERS: dict[str, Draft] = {
    "group_norm": draft(
        "group_norm",
        [IMAGE, weight(6), weight(6), view(2, 6), view(2, 6)],
        [view(2, 6, 5, 4, order=LAST)],
        groups=3,
        activation="silu",
        **NORM,
    ),
    "group_norm of a sum": draft(
        "group_norm",
        [IMAGE, None, None, None, None, view(2, 6, 5, 4)],
        [view(2, 6, 5, 4), view(2, 6, 5, 4, order=LAST)],
        groups=2,
        activation="tanh",
        **NORM,
    ),
    "group_norm of rows": draft("group_norm", [view(3, 8), weight(8)], [view(3, 8)], groups=2, **NORM),
    "layer_norm": draft(
        "layer_norm",
        [TOKENS, weight(16), weight(16), view(2, 1, 16).expanded((2, 3, 16)), view(2, 3, 16)],
        [view(2, 3, 16)],
        **NORM,
    ),
    "rms_norm": draft(
        "rms_norm", [view(2, 2, 3, 16, order=(0, 2, 1, 3)), weight(16)], [view(2, 2, 3, 16, order=(1, 0, 2, 3))], **NORM
    ),
    "rms_norm of a row": draft("rms_norm", [view(16, order=(0,)), None, weight(16)], [view(16)], **NORM),
    "attention": draft("attention", [Q, KV, KV], [view(2, 4, 5, 16)], scale=0.3),
    "attention with a mask": draft(
        "attention", [Q, KV, KV, view(2, 1, 1, 7).expanded((2, 4, 5, 7))], [view(2, 4, 5, 16)], scale=0.3
    ),
    "attention in causal order": draft("attention", [Q, KV, KV], [view(2, 4, 5, 16)], scale=0.3, causal=1),
    "softmax": draft("softmax", [view(3, 4, 9, order=(1, 2, 0))], [view(3, 4, 9)]),
    "reduce": draft("reduce", [view(2, 6, 5, 4)], [view(2, 6)], kind="mean", axes=2),
    "gather": draft("gather", [weight(5, 8), view(2, 3, type="i64")], [view(2, 3, 8)]),
    "map": draft(
        "map", [IMAGE, view(1, 1, 1, 4).expanded((2, 6, 5, 4))], [view(2, 6, 5, 4)], code=[["max", 0, 1], ["silu", 2]]
    ),
    "copy": draft("map", [IMAGE.permuted(LAST)], [view(2, 5, 4, 6)], code=[]),
    "to_uint8": draft("to_uint8", [view(2, 3, 4, 5)], [view(2, 4, 5, 3, type="u8")], scale=0.5, shift=0.1),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_operations(name: str, device: str) -> None:
    check(OTHERS[name])


def test_a_norm_of_two_launches_is_not_written_over_what_it_reads(device: str) -> None:
    shape = (1, 2, 96, 96)  # a group that no program holds
    x, y = view(*shape, order=LAST), view(*shape, order=LAST)
    first = draft("map", [view(*shape)], [x], code=[["neg", 0]])
    machine = check(first, draft("group_norm", [x], [y], groups=1, **NORM), draft("map", [y], [view(*shape)], code=[]))
    norm = machine.program.stages[0].ops[1]
    assert norm.inputs[0] == norm.outputs[0] and len(norm.launches) == 3


def test_temporaries_share_memory_with_what_is_not_alive(device: str) -> None:
    x = view(2, 6, 5, 4)  # row-major, so that each convolution copies it to channels last
    ops = [draft("conv2d", [x, weight(6, 6, 1, 1)], [x := view(2, 6, 5, 4)]) for _ in range(4)]
    assert check(*ops).program.arena <= 6 * 1024


REFUSED: dict[str, tuple[Draft, str]] = {
    "mask": (
        draft("attention", [view(1, 1, 2, 300)] * 3 + [view(1, 1, 2, 2)], [view(1, 1, 2, 300)], scale=1.0),
        "D: expected .* 256",
    ),
    "dilation": (
        draft("conv2d", [IMAGE, weight(8, 6, 1, 1)], [OUT], dilation=[2, 2]),
        r"no dilation and one stride, got \[2, 2\]",
    ),
    "many": (
        draft("matmul", [view(300, 1, 4), view(300, 4, 4)], [view(300, 1, 4)]),
        "at most 256 products at once, got 300",
    ),
    "type": (
        draft("softmax", [view(2, 3, type="i64")], [view(2, 3)]),
        "x: expected dtype float16 or bfloat16 or float32, got int64",
    ),
}


def test_a_grid_that_no_device_has_names_its_node(device: str) -> None:
    large = (1024, 2, 1024, 4)
    inputs, outputs = [view(*large, order=LAST), weight(2, 1, 3, 3)], [view(*large, order=LAST)]
    program = network(draft("conv2d", inputs, outputs, groups=2, **CONV))
    with pytest.raises(LoweringError, match=r"node conv2d: conv2d on sm_90: .*got \(1, 1, 131072\): compile it for a"):
        with_launches(program, weights(program), [Target(90)], lambda bound, operands: {})


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_kernel_takes_names_its_node(name: str, device: str) -> None:
    op, message = REFUSED[name]
    with pytest.raises(LoweringError, match=f"node {op.op}: {op.op} on a GPU: .*{message}"):
        launched(network(op), weights(network(op)), 90)

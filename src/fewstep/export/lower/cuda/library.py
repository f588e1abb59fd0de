"""A matmul as one product of cuBLASLt: which are such, and what docs/plan.md says of them."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from fewstep.export.lower.cuda.operands import Numbers
from fewstep.export.lower.program import Op, Program, Value

LIBRARY = "cublaslt"
ACTIVATIONS = ("", "gelu_tanh")  # its ReLU makes 0 of a NaN, which the sampler's flag would miss
WORKSPACE = 32 << 20  # bytes: what cuBLAS's documentation advises for sm_90


def library_product(op: Op, numbers: Numbers) -> Mapping[str, Any] | None:
    """The launch but for its architecture, with a workspace that is added to numbers; None for what the library does
    not take."""
    if not is_library_product(op, numbers):
        return None
    a, b, bias = (*op.inputs, None)[:3]
    workspace = numbers.value(Value("u8", (WORKSPACE,), (1,), 0, numbers.buffer(WORKSPACE)))
    return {
        "library": LIBRARY, "a": a, "b": b, "bias": bias, "y": op.outputs[0], "scale": op.attributes["scale"],
        "activation": op.attributes["activation"], "workspace": workspace,
    }  # fmt: skip


def is_library_product(op: Op, numbers: Numbers) -> bool:
    """A matmul without glu, gate and residual, whose matrices have rows or columns with steps of 1, y rows."""
    if op.op != "matmul" or op.attributes["glu"] or op.attributes["activation"] not in ACTIVATIONS:
        return False
    if any(index is not None for index in op.inputs[3:]):
        return False
    a, b = (numbers.values[index] for index in op.inputs[:2] if index is not None)
    y, bias = numbers.values[op.outputs[0]], None if len(op.inputs) < 3 else op.inputs[2]
    if a.type != b.type or y.type not in (a.type, "f32") or not _has_rows(y):
        return False
    if bias is not None and not _is_bias(numbers.values[bias], y):
        return False
    return all(_has_rows(x) or _has_columns(x) for x in (a, b)) and all(map(_is_batch, (a, b, y)))


def counted(program: Program) -> dict[str, Any]:
    """For the plan's passes: how many matmuls are the library's, and how many are kernels of our own."""
    ops = [op for stage in program.stages for op in stage.ops if op.op == "matmul"]
    library = sum(any("library" in launch for launch in op.launches) for op in ops)
    return {"pass": "products", LIBRARY: library, "triton": len(ops) - library}


def _is_bias(bias: Value, y: Value) -> bool:
    is_dense = bias.shape[0] == 1 or bias.strides[0] == 1
    return is_dense and bias.type == y.type and not bias.row and not bias.step


def _has_rows(x: Value) -> bool:
    return _are_lines(*x.shape[-2:], *x.strides[-2:])


def _has_columns(x: Value) -> bool:
    return _are_lines(*x.shape[:-3:-1], *x.strides[:-3:-1])


def _are_lines(count: int, length: int, apart: int, step: int) -> bool:
    """Lines of elements that follow each other, none over another."""
    return (length == 1 or step == 1) and (count == 1 or apart >= length)


def _is_batch(x: Value) -> bool:
    """One distance from each matrix to the next."""
    axes = [(size, stride) for size, stride in zip(x.shape[:-2], x.strides[:-2], strict=True) if size > 1]
    return all(outer == inner * size for (_, outer), (size, inner) in pairwise(axes))

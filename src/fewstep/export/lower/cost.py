"""What an operation must do at least: the bytes it moves and the operations it performs."""

from collections.abc import Callable, Mapping
from math import prod
from typing import NamedTuple

from fewstep.export.lower.program import DTYPES, Op, Program, Value

NOISE = 55  # operations for a normal number: Philox and Box-Muller


class Cost(NamedTuple):
    """bytes: each input read once and each output written once; flop: a multiply-add counts 2."""

    bytes: int
    flop: int


def cost(program: Program, op: Op) -> Cost:
    inputs = [None if index is None else program.values[index] for index in op.inputs]
    outputs = [program.values[index] for index in op.outputs]
    moved = sum(_addressed(value) for value in (*inputs, *outputs) if value is not None)
    return Cost(moved, FLOP[op.op](op, [value for value in inputs if value is not None], outputs))


def stage_cost(program: Program, name: str, steps: int = 0) -> Cost:
    """Of one run of a stage."""
    ops = [op for stage in program.stages if stage.name == name and stage.steps == steps for op in stage.ops]
    costs = [cost(program, op) for op in ops]
    return Cost(sum(one.bytes for one in costs), sum(one.flop for one in costs))


def _addressed(value: Value) -> int:
    """Bytes, each counted once however often it repeats."""
    sizes = [size for size, stride in zip(value.shape, value.strides, strict=True) if stride]
    return prod(sizes) * DTYPES[value.type]


def _size(values: list[Value]) -> int:
    return prod(values[0].shape)


def _map(op: Op, inputs: list[Value], outputs: list[Value]) -> int:
    return _size(outputs) * len([line for line in op.attributes["code"] if line[0] != "const"])


def _conv2d(op: Op, inputs: list[Value], outputs: list[Value]) -> int:
    return 2 * _size(outputs) * prod(inputs[1].shape[1:])


def _matmul(op: Op, inputs: list[Value], outputs: list[Value]) -> int:
    rows = prod(inputs[0].shape)
    return 2 * rows * inputs[1].shape[-1]


def _attention(op: Op, inputs: list[Value], outputs: list[Value]) -> int:
    return 4 * _size(inputs) * inputs[1].shape[2] // (2 if op.attributes["causal"] else 1)


def _per_element(count: int) -> Callable[[Op, list[Value], list[Value]], int]:
    """So many operations for each element of the first input."""
    return lambda op, inputs, outputs: count * _size(inputs)


def _initial_state(op: Op, inputs: list[Value], outputs: list[Value]) -> int:
    return (NOISE + 2) * _size(outputs)


FLOP: Mapping[str, Callable[[Op, list[Value], list[Value]], int]] = {
    "map": _map, "conv2d": _conv2d, "matmul": _matmul, "attention": _attention, "initial_state": _initial_state,
    "group_norm": _per_element(8), "layer_norm": _per_element(8), "rms_norm": _per_element(5),
    "softmax": _per_element(5), "reduce": _per_element(1), "gather": lambda op, inputs, outputs: 0,
    "sampler_step": _per_element(NOISE + 10), "to_uint8": _per_element(4),
}  # fmt: skip

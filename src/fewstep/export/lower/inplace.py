"""A result takes the buffer of an operand that nothing reads afterwards, where docs/plan.md says "in place"."""

from collections.abc import Iterator
from dataclasses import replace

from fewstep.export.lower.liveness import Life, buffers_of, lives
from fewstep.export.lower.program import Op, Program, Value

# Operation -> which operands its first output may lie over; a map's may lie over any.
OVER = {"conv2d": (4,), "matmul": (4,), "group_norm": (0,), "layer_norm": (0,), "rms_norm": (0,), "softmax": (0,)}


def in_place(program: Program) -> Program:
    found = lives(program)
    values = list(program.values)
    for s, stage in enumerate(program.stages):
        for i, op in enumerate(stage.ops):
            now = replace(program, values=values)
            pair = next((p for p in _pairs(op, values) if _may_share(now, op, p, found, Life(s, i, i))), None)
            if pair is None:
                continue
            kept, gone = (values[index].buffer for index in pair)
            assert kept is not None and gone is not None
            values[pair[1]] = replace(values[pair[1]], strides=values[pair[0]].strides)
            values = [replace(value, buffer=kept) if value.buffer == gone else value for value in values]
            life = found.pop(gone)
            first, last = found[kept], life
            assert first is not None and last is not None
            found[kept] = Life(s, first.first, last.last)
    return replace(program, values=values)


def _pairs(op: Op, values: list[Value]) -> Iterator[tuple[int, int]]:
    """(operand, result) that are one view of two buffers; strides of axes of 1 say nothing."""
    positions = range(len(op.inputs)) if op.op == "map" else OVER.get(op.op, ())
    (out, *_) = op.outputs
    for position in positions:
        index = op.inputs[position] if position < len(op.inputs) else None
        if index is None or values[index].buffer is None:
            continue
        here, there = values[index], values[out]
        if _moving(here) == _moving(there) and replace(here, buffer=there.buffer, strides=there.strides) == there:
            yield index, out


def _moving(value: Value) -> list[int]:
    return [stride for size, stride in zip(value.shape, value.strides, strict=True) if size > 1]


def _may_share(program: Program, op: Op, pair: tuple[int, int], found: dict[int, Life | None], now: Life) -> bool:
    """Whether the operand's buffer ends here, the result's begins here, and no other view of the former is read."""
    kept, gone = (program.values[index].buffer for index in pair)
    if kept == gone or kept is None or gone is None or gone not in buffers_of(program, op):
        return False
    old, new = found[kept], found[gone]
    if old is None or new is None or old.last != now.last or new.first != now.first:
        return False
    others = {index for index in (*op.inputs, *op.outputs[1:]) if index is not None and index != pair[0]}
    shared = any(program.values[index].buffer == kept for index in others)
    return not shared and program.buffers[gone][1] <= program.buffers[kept][1]

"""When each buffer of a program holds something: from the first operation that names it to the last."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fewstep.export.lower.program import Op, Program

EVERYWHERE = None
HISTORY = 5  # an input of sampler_step
PRODUCT = ("a", "b", "bias", "y", "workspace")  # the values of a library's product


@dataclass(frozen=True)
class Life:
    """In the stage of this index, from one operation to another, both included."""

    stage: int
    first: int
    last: int


def lives(program: Program) -> dict[int, Life | None]:
    """Of each buffer that is named at all; None: live throughout."""
    found: dict[int, Life | None] = dict.fromkeys(_lasting(program), EVERYWHERE)
    for s, stage in enumerate(program.stages):
        for i, op in enumerate(stage.ops):
            for buffer in buffers_of(program, op):
                life = found.get(buffer, Life(s, i, i))
                found[buffer] = Life(s, life.first, i) if life is not None and life.stage == s else EVERYWHERE
    return found


def overlap(a: Life | None, b: Life | None) -> bool:
    if a is None or b is None:
        return True
    return a.stage == b.stage and a.first <= b.last and b.first <= a.last


def buffers_of(program: Program, op: Op) -> set[int]:
    """Those that an operation or one of its launches names."""
    named = {program.values[index].buffer for index in _named(op)}
    return {buffer for buffer in named if buffer is not None}


def _named(op: Op) -> Iterator[int]:
    yield from (index for index in (*op.inputs, *op.outputs) if index is not None)
    for launch in op.launches:
        if "library" in launch:
            yield from (launch[key] for key in PRODUCT if launch[key] is not None)
        else:
            yield from (param["value"] for param in launch["params"] if _is_address(param))


def _is_address(param: Any) -> bool:
    return param["kind"] in ("ptr", "scratch", "tensormap") and param["value"] is not None


def _lasting(program: Program) -> Iterator[int]:
    """Buffers of inputs, outputs, the schedule, and a sampler's history, which goes from step to step."""
    indices = [*program.inputs.values(), *program.outputs.values()]
    samplers = (op for stage in program.stages for op in stage.ops if op.op == "sampler_step")
    indices += [index for op in samplers for index in op.inputs[HISTORY : HISTORY + 1] if index is not None]
    if program.schedule is not None:
        indices += [program.schedule[name]["value"] for name in ("tau", "coefficients", "scales")]
    for index in indices:
        buffer = program.values[index].buffer
        if buffer is not None:
            yield buffer

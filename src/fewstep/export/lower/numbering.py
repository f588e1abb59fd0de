"""A program without values and buffers that nothing names, and with equal values as one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fewstep.export.lower.liveness import PRODUCT
from fewstep.export.lower.program import Op, Program, Stage, Value

SCHEDULE = ("tau", "coefficients", "scales")


def renumbered(program: Program) -> Program:
    table = _Table(program)
    schedule = program.schedule
    stages = [Stage(stage.name, tuple(map(table.op, stage.ops)), stage.steps) for stage in program.stages]
    inputs = {name: table.value(index) for name, index in program.inputs.items()}
    outputs = {name: table.value(index) for name, index in program.outputs.items()}
    if schedule is not None:
        moved = {name: {**schedule[name], "value": table.value(schedule[name]["value"])} for name in SCHEDULE}
        schedule = {**schedule, **moved}
    buffers = [program.buffers[index] for index in table.buffers]
    return replace(
        program, stages=stages, inputs=inputs, outputs=outputs, schedule=schedule, buffers=buffers, values=table.values
    )


class _Table:
    def __init__(self, program: Program) -> None:
        self.values: list[Value] = []
        self.buffers: list[int] = []  # by their new number, the old one
        self._program = program
        self._known: dict[Value, int] = {}
        self._numbers: dict[int, int] = {}

    def value(self, index: int) -> int:
        value = self._program.values[index]
        if value.buffer is not None:
            if value.buffer not in self._numbers:
                self._numbers[value.buffer] = len(self.buffers)
                self.buffers.append(value.buffer)
            value = replace(value, buffer=self._numbers[value.buffer])
        if value not in self._known:
            self._known[value] = len(self.values)
            self.values.append(value)
        return self._known[value]

    def op(self, op: Op) -> Op:
        inputs = tuple(None if index is None else self.value(index) for index in op.inputs)
        outputs = tuple(self.value(index) for index in op.outputs)
        return replace(op, inputs=inputs, outputs=outputs, launches=tuple(map(self._launch, op.launches)))

    def _launch(self, launch: Mapping[str, Any]) -> Mapping[str, Any]:
        if "library" in launch:
            return {**launch, **{key: self.value(launch[key]) for key in PRODUCT if launch[key] is not None}}
        return {**launch, "params": [self._param(param) for param in launch["params"]]}

    def _param(self, param: Mapping[str, Any]) -> Mapping[str, Any]:
        is_address = param["kind"] in ("ptr", "scratch", "tensormap") and param["value"] is not None
        return {**param, "value": self.value(param["value"])} if is_address else param

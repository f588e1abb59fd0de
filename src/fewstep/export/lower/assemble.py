"""Views become values with numbers, storages become buffers: drafts become a Program, its memory not yet planned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fewstep.export.lower.draft import Draft, DraftStage
from fewstep.export.lower.program import Op, Program, Stage, Value
from fewstep.export.lower.views import Storage, View


@dataclass(frozen=True)
class ScheduleViews:
    """Views of all rows, and the names of the tensors that fill them."""

    counts: Mapping[int, int]
    rows: int
    views: Mapping[str, tuple[View, str]]  # tau, coefficients and scales


@dataclass(frozen=True)
class Header:
    """What a program is, besides what it does."""

    target: Mapping[str, Any]
    precision: str
    model: Mapping[str, Any]
    batch: int
    passes: Sequence[Mapping[str, Any]] = ()


def assemble(
    header: Header,
    stages: Sequence[DraftStage],
    inputs: Mapping[str, View],
    outputs: Mapping[str, View],
    schedule: ScheduleViews | None = None,
) -> Program:
    """Every buffer begins at 0: see memory.plan_memory."""
    table = _Numbers()
    built = [Stage(stage.name, tuple(table.op(op) for op in stage.ops), stage.steps) for stage in stages]
    return Program(
        target=header.target,
        precision=header.precision,
        model=header.model,
        batch=header.batch,
        arena=0,
        inputs={name: table.value(view) for name, view in inputs.items()},
        outputs={name: table.value(view) for name, view in outputs.items()},
        stages=built,
        schedule=None if schedule is None else table.schedule(schedule),
        passes=header.passes,
        buffers=table.buffers,
        values=list(table.values),
    )


@dataclass
class _Numbers:
    """The number of each value and of each buffer, in the order in which they are named."""

    values: dict[Value, int] = field(default_factory=dict)
    buffers: list[tuple[int, int]] = field(default_factory=list)
    _storages: dict[Storage, int] = field(default_factory=dict)

    def value(self, view: View) -> int:
        storage = view.storage
        buffer = None
        if storage.weight is None:
            if storage not in self._storages:
                self._storages[storage] = len(self.buffers)
                self.buffers.append((0, storage.bytes))
            buffer = self._storages[storage]
        value = Value(view.type, view.shape, view.strides, view.offset, buffer, storage.weight, view.row, view.step)
        return self.values.setdefault(value, len(self.values))

    def op(self, draft: Draft) -> Op:
        inputs = [None if view is None else self.value(view) for view in draft.inputs]
        while inputs and inputs[-1] is None:
            inputs.pop()
        outputs = tuple(self.value(view) for view in draft.outputs)
        return Op(draft.op, draft.name, tuple(inputs), outputs, draft.attributes)

    def schedule(self, given: ScheduleViews) -> dict[str, Any]:
        filled = {name: {"value": self.value(view), "tensor": tensor} for name, (view, tensor) in given.views.items()}
        return {"counts": {str(steps): row for steps, row in given.counts.items()}, "rows": given.rows, **filled}

"""What one stage of a generation leaves for another, as that one sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fewstep.errors import LoweringError
from fewstep.export.lower.draft import Draft, copy
from fewstep.export.lower.views import Storage, View, new_view

TIMES, PROMPT, MODULATION = "tables", "prompt", "modulation"


@dataclass(frozen=True)
class Crossing:
    """A value with an axis of its own for the rows of the schedule, the images, or both: all steps, then images."""

    stage: str
    view: View

    def in_step(self, batch: int) -> View:
        """As the loop reads it at its step."""
        shape, stride = (batch, *self.view.shape[1:]), self.view.strides[0]
        if self.stage == TIMES:
            return replace(self.view, shape=shape, strides=(0, *self.view.strides[1:]), row=stride)
        step = batch * stride if self.stage == MODULATION else 0
        return replace(self.view, shape=shape, step=step)

    def in_modulation(self, name: str, batch: int, steps: int, first_row: int) -> tuple[View, list[Draft]]:
        """As the modulation of `steps` steps reads it, (steps * batch, ...), and the copy that takes, if any."""
        rest, strides = self.view.shape[1:], self.view.strides
        if self.stage == TIMES:
            offset = self.view.offset + first_row * strides[0]
            seen = replace(self.view, offset=offset, strides=(strides[0], 0, *strides[1:]), shape=(steps, batch, *rest))
        else:
            seen = replace(self.view, strides=(0, *strides), shape=(steps, batch, *rest))
        wanted = (steps * batch, *rest)
        joined = seen.reshaped(wanted)
        if joined is not None:
            return joined, []
        block = new_view(seen.type, wanted)
        before = block.reshaped(seen.shape)
        assert before is not None
        return block, [copy(f"{name}.repeat", seen, before)]


def share_storage(stages: Mapping[int, Mapping[str, View]]) -> dict[Storage, Storage]:
    """One storage for what the modulations of all step counts leave under one name: the largest's.

    stages: by step count, the outputs by name. Raises LoweringError where their strides differ.
    """
    largest = stages[max(stages)]
    shared: dict[Storage, Storage] = {}
    for steps, outputs in stages.items():
        for name, view in outputs.items():
            model = largest[name]
            if not _lies_as(view, model):
                raise LoweringError(
                    f"value {name}: lies otherwise for {steps} steps than for {max(stages)}; expected strides "
                    f"{model.strides}, got {view.strides}"
                )
            if shared.setdefault(view.storage, model.storage) is not model.storage:
                raise LoweringError(f"value {name}: shares memory for {steps} steps but not for {max(stages)}")
    return shared


def _lies_as(view: View, model: View) -> bool:
    """Whether it is where the first rows of the model are; strides of axes of 1 say nothing."""
    return replace(model, shape=(view.shape[0], *model.shape[1:]), storage=view.storage).is_at(view)


def moved(ops: Sequence[Draft], shared: Mapping[Storage, Storage]) -> list[Draft]:
    def view(given: View) -> View:
        return replace(given, storage=shared.get(given.storage, given.storage))

    return [
        replace(
            op,
            inputs=tuple(None if given is None else view(given) for given in op.inputs),
            outputs=tuple(map(view, op.outputs)),
        )
        for op in ops
    ]

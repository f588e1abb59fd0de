"""One operation of a program on one architecture: which kernels run, and what each is called with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from fewstep.export.lower.cuda.convolution import conv2d
from fewstep.export.lower.cuda.norms import attention, group_norm, layer_norm, rms_norm
from fewstep.export.lower.cuda.operands import Numbers, Operands
from fewstep.export.lower.cuda.product import matmul
from fewstep.export.lower.cuda.steps import Steps
from fewstep.export.lower.program import Op, Value
from fewstep.kernels.decode import to_uint8_launches
from fewstep.kernels.gather import gather_launches
from fewstep.kernels.initial_state import initial_state_launches
from fewstep.kernels.launch import Launch
from fewstep.kernels.reduce import reduce_launches
from fewstep.kernels.sampler_step import sampler_step_launches
from fewstep.kernels.softmax import softmax_launches

Inputs = list[Tensor | None]
OPERANDS = {
    "conv2d": 5,
    "matmul": 5,
    "group_norm": 6,
    "layer_norm": 5,
    "rms_norm": 5,
    "attention": 4,
    "sampler_step": 8,
}
SMALLEST = 86  # the least shared memory of all from sm_80 on, and nothing that only some of them have
STEP = "i"  # the parameter of sampler_step that is the step's index


@dataclass(frozen=True)
class Target:
    """An architecture, by an image of its own or by PTX, whose launches every later one must have room for."""

    arch: int
    is_ptx: bool = False

    @property
    def settings(self) -> int:
        """The architecture that launches are described for."""
        return SMALLEST if self.is_ptx else self.arch

    def __str__(self) -> str:
        return f"PTX of sm_{self.arch}" if self.is_ptx else f"sm_{self.arch}"


@dataclass(frozen=True)
class Bound:
    """A launch, and the values that its tensors and tensor descriptors are, by parameter."""

    launch: Launch
    target: Target
    values: Mapping[str, int]
    step: str | None = None  # the parameter that is the step


def describe(op: Op, numbers: Numbers, target: Target, folded: Value | None = None) -> tuple[list[Bound], Operands]:
    """The launches of an operation, in order; what they need beside its values is added to numbers.

    Raises LoweringError for what no kernel takes.
    """
    operands = Operands(numbers)
    tensors = [None if index is None else operands.tensor(numbers.values[index]) for index in op.inputs]
    tensors += [None] * (OPERANDS.get(op.op, 0) - len(tensors))
    outputs = [operands.tensor(numbers.values[index]) for index in op.outputs]
    steps = Steps(op, target.settings, None if folded is None else operands.tensor(folded))
    KINDS[op.op](steps, tensors, outputs)
    return [_bound(launch, target, operands) for launch in steps.launches], operands


def _bound(launch: Launch, target: Target, operands: Operands) -> Bound:
    values = {}
    for name, arg in launch.args.items():
        tensor = arg.base if isinstance(arg, TensorDescriptor) else arg
        if isinstance(tensor, Tensor):
            values[name] = operands.value(tensor)
    is_sampler = launch.kernel.__name__ == "_sampler_step_kernel"
    return Bound(launch, target, values, STEP if is_sampler else None)


def _map(steps: Steps, inputs: Inputs, outputs: list[Tensor]) -> None:
    given = [t for t in inputs if t is not None]
    code = steps.attributes["code"]
    steps.map(given if code else given[-1:], code, outputs[0])


def _softmax(steps: Steps, inputs: Inputs, outputs: list[Tensor]) -> None:
    steps.call(softmax_launches, inputs[0], out=outputs[0])


def _reduce(steps: Steps, inputs: Inputs, outputs: list[Tensor]) -> None:
    steps.call(reduce_launches, inputs[0], steps.attributes["kind"], steps.attributes["axes"], out=outputs[0])


def _gather(steps: Steps, inputs: Inputs, outputs: list[Tensor]) -> None:
    steps.call(gather_launches, *inputs, out=outputs[0])


def _initial_state(steps: Steps, inputs: Inputs, outputs: list[Tensor]) -> None:
    made = steps.call(initial_state_launches, *inputs, tuple(outputs[0].shape[1:]), outputs[1].dtype)
    for y, out in zip(made, outputs, strict=True):
        steps.leave(y, out)


def _sampler_step(steps: Steps, inputs: Inputs, outputs: list[Tensor]) -> None:
    x, m, row, drawn, m2, history, mask, known = inputs
    assert row is not None and drawn is not None
    table = row.as_strided((1, len(row)), (0, 1), row.storage_offset())  # the value itself moves with the step
    flag = outputs[2]
    noise = {"noise" if drawn.is_floating_point() else "seeds": drawn}
    given = {"m2": m2, "history": history, "mask": mask, "known": known, "flag": flag}
    made = steps.call(sampler_step_launches, x, m, table, 0, **noise, **given)
    written = [outputs[0], outputs[1], *outputs[3:]]
    for y, out in zip((t for t in made if t is not None), written, strict=True):
        steps.leave(y, out)


def _to_uint8(steps: Steps, inputs: Inputs, outputs: list[Tensor]) -> None:
    scale, shift = steps.attributes["scale"], steps.attributes["shift"]
    steps.leave(steps.call(to_uint8_launches, inputs[0], scale=scale, shift=shift), outputs[0])


KINDS: Mapping[str, Callable[[Steps, Any, list[Tensor]], None]] = {
    "map": _map, "conv2d": conv2d, "matmul": matmul, "group_norm": group_norm, "layer_norm": layer_norm,
    "rms_norm": rms_norm, "attention": attention, "softmax": _softmax, "reduce": _reduce, "gather": _gather,
    "initial_state": _initial_state, "sampler_step": _sampler_step, "to_uint8": _to_uint8,
}  # fmt: skip

"""Runs a program by its launches, in Triton's interpreter, over the arena that its plan gives it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from run_program import Machine
from torch import Tensor
from torch.nn.functional import gelu
from triton.tools.tensor_descriptor import TensorDescriptor

from fewstep.export.lower.cuda.describe import Bound, Target
from fewstep.export.lower.cuda.launches import with_launches
from fewstep.export.lower.cuda.operands import TORCH, Operands
from fewstep.export.lower.memory import plan_memory
from fewstep.export.lower.program import Program, Stage
from fewstep.export.lower.weights import Weight

PROMISE = 16
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "": torch.positive, "gelu_tanh": partial(gelu, approximate="tanh"),
}  # fmt: skip


def launched(program: Program, weights: Mapping[str, Weight], arch: int, matmul: str = "triton") -> "Launched":
    described, arranged = with_launches(program, weights, [Target(arch)], _parameters, matmul)
    return Launched(plan_memory(described), arranged)


def _parameters(bound: Bound, operands: Operands) -> Mapping[str, Any]:
    """As in a plan, but for the image: the launch itself."""
    params: Sequence[Any] = [{"kind": "ptr", "value": value, "name": name} for name, value in bound.values.items()]
    return {"bound": bound, "params": params}


class Launched(Machine):
    """Machine, with the launches' kernels for the operations."""

    def __init__(self, program: Program, weights: Mapping[str, Weight]) -> None:
        copies = {name: replace(weight, load=weight.array().copy) for name, weight in weights.items()}  # writable
        super().__init__(program, copies)

    def _run(self, stage: Stage, row: int, step: int) -> None:
        for op in stage.ops:
            assert op.launches, op
            for launch in op.launches:
                if "library" in launch:
                    self._product(launch, row, step)
                    continue
                bound = launch["bound"]
                args = dict(bound.launch.args)
                for param in launch["params"]:
                    args[param["name"]] = self._bound(args[param["name"]], param["value"], row, step)
                if bound.step is not None:
                    args[bound.step] = step
                replace(bound.launch, args=args).run()

    def _product(self, launch: Mapping[str, Any], row: int, step: int) -> None:
        a, b, y = (self._tensor(launch[key], row, step) for key in ("a", "b", "y"))
        made = launch["scale"] * (a.float() @ b.float())
        if launch["bias"] is not None:
            made += self._tensor(launch["bias"], row, step).float()
        assert self._tensor(launch["workspace"], row, step).fill_(255).is_contiguous()
        y.copy_(ACTIVATIONS[launch["activation"]](made))

    def _bound(self, described: Any, index: int, row: int, step: int) -> Any:
        tensor = self._tensor(index, row, step)
        if isinstance(described, TensorDescriptor):
            return replace(described, base=tensor)
        if described.data_ptr() % PROMISE == 0:  # what is compiled counts on it
            assert tensor.data_ptr() % PROMISE == self._start(index) % PROMISE, (described.shape, index, row, step)
        return tensor

    def _start(self, index: int) -> int:
        """Of the memory that a value lies in, which a device aligns."""
        value = self.program.values[index]
        return int((self._arena if value.weight is None else self._weights[value.weight]).ctypes.data)

    def _tensor(self, index: int, row: int, step: int) -> Tensor:
        value, type = self.program.values[index], TORCH[self.program.values[index].type]
        offset = value.offset + row * value.row + step * value.step
        if value.weight is None:
            assert value.buffer is not None
            begin, size = self.program.buffers[value.buffer]
            memory = torch.from_numpy(self._arena)[begin : begin + size]
        else:
            memory = torch.from_numpy(self._weights[value.weight].view("uint8"))
        return (
            memory[: len(memory) // type.itemsize * type.itemsize]
            .view(type)
            .as_strided(value.shape, value.strides, offset + memory.storage_offset() // type.itemsize)
        )

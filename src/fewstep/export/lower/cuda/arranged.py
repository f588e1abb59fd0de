"""Weights laid out as the kernels read them, once, when the plan is made: the same view of another tensor."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fewstep.errors import LoweringError
from fewstep.export.lower.cuda.convolution import is_depthwise, is_folded
from fewstep.export.lower.cuda.operands import Numbers
from fewstep.export.lower.program import Op, Program, Stage, Value
from fewstep.export.lower.weights import Weight
from fewstep.kernels.upsample_conv2d import fold_weight


@dataclass
class Arranged:
    """folded: by the number of an upsampling convolution's weight, what its kernel reads instead."""

    program: Program
    weights: dict[str, Weight]
    folded: Mapping[int, Value]


def arrange(program: Program, weights: Mapping[str, Weight]) -> Arranged:
    """Programs that are arranged already come back as they are."""
    targets = (program.adapters or {}).get("targets", {})
    replaced = {tensor for factors in targets.values() for tensor in factors.values()}
    work = _Arrangement(Numbers.of(program), dict(weights), replaced)
    stages = [Stage(stage.name, tuple(map(work.op, stage.ops)), stage.steps) for stage in program.stages]
    program = replace(program, stages=stages, values=work.numbers.values)
    named = _named(program) | {value.weight for value in work.folded.values()}
    gone = work.replaced - named
    return Arranged(program, {name: w for name, w in work.weights.items() if name not in gone}, work.folded)


def _named(program: Program) -> set[str | None]:
    indices = {index for stage in program.stages for op in stage.ops for index in (*op.inputs, *op.outputs)}
    return {program.values[index].weight for index in indices if index is not None}


class _Arrangement:
    def __init__(self, numbers: Numbers, weights: dict[str, Weight], fixed: set[str]) -> None:
        """fixed: weights that stay as they are, since others take their place later."""
        self.numbers, self.weights, self.fixed = numbers, weights, fixed
        self.folded: dict[int, Value] = {}
        self.replaced: set[str] = set()
        self._made: dict[Value, Value] = {}

    def op(self, op: Op) -> Op:
        if op.op not in ("conv2d", "matmul") or op.inputs[1] is None:
            return op
        index = op.inputs[1]
        value = self.numbers.values[index]
        if value.weight is None:
            return op
        if op.op == "matmul":
            axes: tuple[int, ...] = () if any(value.strides[:-2]) else (1, 0)
        elif is_folded(value.shape, op.attributes):
            self._fold(index, value)
            return op
        else:
            axes = (2, 3, 0, 1) if is_depthwise(value.shape, op.attributes) else (0, 2, 3, 1)
        if not axes or _is_dense(value, axes):
            return op
        inputs = (op.inputs[0], self.numbers.value(self._ordered(value, axes)), *op.inputs[2:])
        return replace(op, inputs=inputs)

    def _ordered(self, value: Value, axes: tuple[int, ...]) -> Value:
        """The same elements in a tensor of their own, its last axes from the outermost to the innermost."""
        if value not in self._made:
            rank, source = len(axes), self.weights[str(value.weight)]
            seen = replace(value, shape=value.shape[-rank:], strides=value.strides[-rank:])
            shape = tuple(seen.shape[axis] for axis in axes)
            name = self._add(value, Weight(value.type, shape, lambda: self._seen(source, seen).transpose(axes)))
            strides, step = [0] * rank, 1
            for axis in reversed(axes):
                strides[axis] = step
                step *= seen.shape[axis]
            repeated = (0,) * (len(value.shape) - rank)
            self._made[value] = Value(value.type, value.shape, (*repeated, *strides), weight=name)
        return self._made[value]

    def _fold(self, index: int, value: Value) -> None:
        N, C = value.shape[:2]
        source = self.weights[str(value.weight)]

        def load() -> NDArray[Any]:
            wide = torch.from_numpy(np.ascontiguousarray(self._seen(source, value), np.float32))
            return fold_weight(wide).permute(0, 2, 3, 1).contiguous().numpy()

        if value not in self._made:
            name = self._add(value, Weight(value.type, (4 * N, 2, 2, C), load), keep=True)
            self._made[value] = Value(value.type, (4 * N, C, 2, 2), (4 * C, 1, 2 * C, C), weight=name)
        self.folded[index] = self._made[value]

    def _add(self, value: Value, weight: Weight, *, keep: bool = False) -> str:
        if value.weight in self.fixed:
            raise LoweringError(f"{value.weight}: no kernel reads it as it lies; leave its module out of the targets")
        if not keep:
            self.replaced.add(str(value.weight))
        name = base = f"{value.weight}.{'folded' if keep else 'rows'}"
        tries = 1
        while name in self.weights:
            tries += 1
            name = f"{base}.{tries}"
        self.weights[name] = weight
        return name

    @staticmethod
    def _seen(source: Weight, value: Value) -> NDArray[Any]:
        flat = source.array().reshape(-1)[value.offset :]
        steps = [stride * flat.itemsize for stride in value.strides]
        return np.lib.stride_tricks.as_strided(flat, value.shape, steps)


def _is_dense(value: Value, axes: tuple[int, ...]) -> bool:
    """Whether the axes lie in this order without a gap, from a multiple of 16 elements on."""
    step, rank = 1, len(axes)
    for axis in (axis - rank for axis in reversed(axes)):
        if value.shape[axis] > 1 and value.strides[axis] != step:
            return False
        step *= value.shape[axis]
    return value.offset % 16 == 0

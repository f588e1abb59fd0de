"""A program for a GPU: each operation gets its launches, for each architecture, and the plan the images that they run.

Runs before memory is planned: what launches need beside an operation's values are buffers that live in it alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fewstep.errors import InputError, LoweringError
from fewstep.export.lower.cuda.arranged import arrange
from fewstep.export.lower.cuda.compile_ahead import compile_ahead
from fewstep.export.lower.cuda.describe import Bound, describe
from fewstep.export.lower.cuda.operands import Numbers, Operands
from fewstep.export.lower.inplace import in_place
from fewstep.export.lower.program import Op, Program, Stage, Value
from fewstep.export.lower.weights import Weight
from fewstep.kernels.aot import compile_launch, rebound, specialise
from fewstep.kernels.aot_cubin import Cubin, Param
from fewstep.kernels.launch import Launch

Parameters = Callable[[Bound, Operands], Mapping[str, Any]]
Progress = Callable[[int, str], None]  # images so far, and the kernel that the latest is of


@dataclass(frozen=True)
class Launched:
    """weights: those of the program, arranged for its kernels, with its images among them."""

    program: Program
    weights: Mapping[str, Weight]


def add_launches(
    program: Program,
    weights: Mapping[str, Weight],
    architectures: Sequence[int],
    report: Progress = lambda count, kernel: None,
    processes: int = 1,
) -> Launched:
    """processes: how many compile at a time.

    Raises LoweringError for an operation that no kernel takes or that does not compile for an architecture.
    """
    if processes > 1:
        launches = list[tuple[Launch, int]]()

        def note(bound: Bound, operands: Operands) -> Mapping[str, Any]:
            launches.append((bound.launch, bound.arch))
            return {}

        with_launches(program, weights, architectures, note)
        compile_ahead(launches, processes)
    images = Images(report)
    described, arranged = with_launches(program, weights, architectures, images.launch)
    return Launched(described, {**arranged, **images.weights})


def with_launches(
    program: Program, weights: Mapping[str, Weight], architectures: Sequence[int], launch: Parameters
) -> tuple[Program, dict[str, Weight]]:
    """launch: makes of a description what Op.launches holds."""
    arranged = arrange(in_place(program), weights)
    program, numbers = arranged.program, Numbers.of(arranged.program)

    def launched(op: Op) -> Op:
        folded = _folded(op, arranged.folded)
        return replace(op, launches=tuple(made for arch in architectures for made in _launches(op, arch, folded)))

    def _launches(op: Op, arch: int, folded: Value | None) -> Iterator[Mapping[str, Any]]:
        described, operands = describe(op, numbers, arch, folded)
        for bound in described:
            try:
                yield launch(bound, operands)
            except InputError as error:
                raise LoweringError(f"node {op.name}: {op.op} on sm_{arch}: {error}") from error

    stages = [Stage(stage.name, tuple(map(launched, stage.ops)), stage.steps) for stage in program.stages]
    return replace(program, stages=stages, values=numbers.values, buffers=numbers.buffers), arranged.weights


def _folded(op: Op, folded: Mapping[int, Value]) -> Value | None:
    return folded.get(op.inputs[1]) if op.op == "conv2d" and op.inputs[1] is not None else None


class Images:
    """The images of launches, each compiled once: by its name in the plan's file, as a weight."""

    def __init__(self, report: Progress = lambda count, kernel: None) -> None:
        self.weights: dict[str, Weight] = {}
        self._report = report
        self._names: dict[bytes, str] = {}
        self._cubins: dict[str, tuple[str, Cubin]] = {}  # by specialisation: the image's name

    def launch(self, bound: Bound, operands: Operands) -> Mapping[str, Any]:
        """What docs/plan.md calls a launch."""
        key = specialise(bound.launch, bound.arch).key
        if key not in self._cubins:
            cubin = compile_launch(bound.launch, bound.arch)
            self._cubins[key] = (self._add(cubin, bound.arch), cubin)
            self._report(len(self._cubins), cubin.kernel)
        name, cubin = self._cubins[key][0], rebound(self._cubins[key][1], bound.launch)
        blocks = int(np.prod(bound.launch.grid)) * cubin.num_ctas
        scratch = operands.scratch(cubin.scratch_size * blocks) if cubin.scratch_size else None
        return {
            "cubin": name,
            "entry": cubin.entry,
            "architecture": bound.arch,
            "grid": list(bound.launch.grid),
            "threads": cubin.threads,
            "shared": cubin.shared,
            "cluster": cubin.num_ctas,
            "params": [_param(param, bound, scratch) for param in cubin.params],
        }

    def _add(self, cubin: Cubin, arch: int) -> str:
        if cubin.image not in self._names:
            name = f"cubin.sm_{arch}.{cubin.kernel.strip('_')}.{len(self.weights)}"
            image = np.frombuffer(cubin.image, np.uint8)
            self._names[cubin.image] = name
            self.weights[name] = Weight("u8", image.shape, lambda: image)
        return self._names[cubin.image]


def _param(param: Param, bound: Bound, scratch: int | None) -> dict[str, Any]:
    if param.name == bound.step:
        return {"kind": "step"}
    if param.name == "global_scratch":
        return {"kind": "scratch", "value": scratch}
    if param.tensormap is not None:
        tensormap = param.tensormap
        return {
            "kind": "tensormap", "value": bound.values[param.name], "elem_type": tensormap.elem_type,
            "shape": list(tensormap.shape), "strides": list(tensormap.strides), "box": list(tensormap.box),
            "swizzle": tensormap.swizzle, "nan_padding": tensormap.nan_padding,
        }  # fmt: skip
    if param.kind == "ptr":
        return {"kind": "ptr", "value": bound.values.get(param.name)}
    return {"kind": param.kind, "value": param.value}

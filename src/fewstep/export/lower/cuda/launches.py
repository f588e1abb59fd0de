"""A program for a GPU: each operation gets its launches, for each target, and the plan the images that they run.

Runs before memory is planned: what launches need beside an operation's values are buffers that live in it alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fewstep.errors import InputError, LoweringError
from fewstep.export.lower.cuda.arranged import arrange
from fewstep.export.lower.cuda.describe import Bound, Target, describe
from fewstep.export.lower.cuda.library import LIBRARY, counted, library_product
from fewstep.export.lower.cuda.operands import Numbers, Operands
from fewstep.export.lower.inplace import in_place
from fewstep.export.lower.program import Op, Program, Stage, Value
from fewstep.export.lower.weights import Weight
from fewstep.kernels.aot import PTX_SHARED_KIB, Specialised, assembled, specialise
from fewstep.kernels.aot_cubin import Cubin, Param
from fewstep.kernels.aot_image import Job, compile_all

Parameters = Callable[[Bound, Operands], Mapping[str, Any]]
Progress = Callable[[str], None]
MOST_PROGRAMS = (2**31 - 1, 65535, 65535)  # along each axis of a grid


@dataclass(frozen=True)
class Launched:
    """weights: those of the program, arranged for its kernels, with its images among them."""

    program: Program
    weights: Mapping[str, Weight]


def add_launches(
    program: Program,
    weights: Mapping[str, Weight],
    processes: int | None = None,
    progress: Progress = lambda what: None,
    matmul: str = "triton",
) -> Launched:
    """processes: how many compile at a time, one a core unless given. matmul: who makes plain products: triton, or
    cublaslt.

    Raises LoweringError for an operation that no kernel takes or that does not compile for one of its targets.
    """
    described, arranged = with_launches(program, weights, targets(program.target), Waiting.launch, matmul)
    images = Images(described, processes, progress)
    stages = [replace(stage, ops=tuple(map(images.op, stage.ops))) for stage in described.stages]
    passes = [*program.passes, counted(described)] if matmul == LIBRARY else program.passes
    return Launched(replace(described, stages=stages, passes=passes), {**arranged, **images.weights})


def targets(target: Mapping[str, Any]) -> list[Target]:
    """Of a program: its architectures, then its PTX."""
    portable = [Target(target["ptx"], is_ptx=True)] if "ptx" in target else []
    return [*(Target(architecture) for architecture in target["architectures"]), *portable]


def with_launches(
    program: Program,
    weights: Mapping[str, Weight],
    targets: Sequence[Target],
    launch: Parameters,
    matmul: str = "triton",
) -> tuple[Program, dict[str, Weight]]:
    """launch: makes of a description what Op.launches holds; a library's product is there as it is. PTX, which is for
    where nothing else runs, needs no library."""
    arranged = arrange(in_place(program), weights)
    program, numbers = arranged.program, Numbers.of(arranged.program)

    def launched(op: Op) -> Op:
        product = library_product(op, numbers) if matmul == LIBRARY else None
        return replace(op, launches=tuple(made for target in targets for made in _launches(op, target, product)))

    def _launches(op: Op, target: Target, product: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
        if product is not None and not target.is_ptx:
            yield {**product, "architecture": target.arch}
            return
        described, operands = describe(op, numbers, target, _folded(op, arranged.folded))
        for bound in described:
            if any(size > most for size, most in zip(bound.launch.grid, MOST_PROGRAMS, strict=True)):
                raise LoweringError(
                    f"{_place(op, target)}: expected a grid of at most {MOST_PROGRAMS}, got {bound.launch.grid}: "
                    "compile it for a smaller batch or picture"
                )
            try:
                yield launch(bound, operands)
            except InputError as error:
                raise LoweringError(f"{_place(op, target)}: {error}") from error

    stages = [Stage(stage.name, tuple(map(launched, stage.ops)), stage.steps) for stage in program.stages]
    return replace(program, stages=stages, values=numbers.values, buffers=numbers.buffers), arranged.weights


def _folded(op: Op, folded: Mapping[int, Value]) -> Value | None:
    return folded.get(op.inputs[1]) if op.op == "conv2d" and op.inputs[1] is not None else None


@dataclass(frozen=True)
class Waiting:
    """A launch whose image is not compiled yet."""

    bound: Bound
    operands: Operands
    what: Specialised

    @classmethod
    def launch(cls, bound: Bound, operands: Operands) -> Mapping[str, Any]:
        return {"waiting": cls(bound, operands, specialise(bound.launch, bound.target.arch))}


class Images:
    """The images of a program, each compiled once: by its name in the plan's file, as a weight."""

    def __init__(self, program: Program, processes: int | None, progress: Progress) -> None:
        """program: its launches are waiting. Raises LoweringError for one that does not compile."""
        jobs = _jobs(program)
        try:
            compiled = compile_all(
                [*jobs.values()], lambda done: progress(f"compiling kernels: {done} of {len(jobs)}"), processes
            )
        except InputError as error:
            raise LoweringError(str(error)) from error
        self.weights: dict[str, Weight] = {}
        self._images = dict(zip(jobs, compiled, strict=True))
        self._names: dict[bytes, str] = {}

    def op(self, op: Op) -> Op:
        """With what docs/plan.md calls launches. Raises LoweringError for one that needs too much."""
        return replace(op, launches=tuple(map(partial(self._launch, op), op.launches)))

    def _launch(self, op: Op, launch: Mapping[str, Any]) -> Mapping[str, Any]:
        if "library" in launch:
            return launch
        waiting: Waiting = launch["waiting"]
        bound, target = waiting.bound, waiting.bound.target
        try:
            cubin = assembled(bound.launch, waiting.what, self._images[waiting.what.key])
        except InputError as error:
            raise LoweringError(f"{_place(op, target)}: {error}") from error
        if target.is_ptx and cubin.shared > PTX_SHARED_KIB * 1024:
            most = f"at most {PTX_SHARED_KIB} KiB of shared memory"
            raise LoweringError(f"{_place(op, target)}: expected {most}, got {cubin.shared} bytes")
        blocks = int(np.prod(bound.launch.grid)) * cubin.num_ctas
        scratch = waiting.operands.scratch(cubin.scratch_size * blocks) if cubin.scratch_size else None
        return {
            "ptx" if target.is_ptx else "cubin": self._name(cubin, target),
            "entry": cubin.entry,
            "architecture": target.arch,
            "grid": list(bound.launch.grid),
            "threads": cubin.threads,
            "shared": cubin.shared,
            "cluster": cubin.num_ctas,
            "params": [_param(param, bound, scratch) for param in cubin.params],
        }

    def _name(self, cubin: Cubin, target: Target) -> str:
        image, kind = (cubin.ptx, "ptx") if target.is_ptx else (cubin.image, "cubin")
        if image not in self._names:
            name = f"{kind}.sm_{target.arch}.{cubin.kernel.strip('_')}.{len(self.weights)}"
            data = np.frombuffer(image, np.uint8)
            self._names[image] = name
            self.weights[name] = Weight("u8", data.shape, lambda: data)
        return self._names[image]


def _jobs(program: Program) -> dict[str, Job]:
    """By specialisation: many launches have one, whatever they are launched with."""
    jobs: dict[str, Job] = {}
    for op in (op for stage in program.stages for op in stage.ops):
        waiting = [entry["waiting"] for entry in op.launches if "waiting" in entry]
        for what, target in ((entry.what, entry.bound.target) for entry in waiting):
            jobs.setdefault(what.key, replace(what.job, needed_by=_place(op, target)))
    return jobs


def _place(op: Op, target: Target) -> str:
    return f"node {op.name}: {op.op} on {target}"


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

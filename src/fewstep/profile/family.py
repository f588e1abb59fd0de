"""The requests of a family with random weights: eager PyTorch, torch.compile, and ours, fused and captured."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from fewstep.engine.backends.torch.backend import fuse
from fewstep.engine.backends.torch.captured import Captured
from fewstep.engine.backends.torch.eager import Draw, generate
from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.engine.backends.torch.generation import Generation
from fewstep.engine.backends.torch.program import Modules, Program, Shape
from fewstep.engine.checks import choice
from fewstep.engine.table import Schedule
from fewstep.errors import BackendError
from fewstep.export.families.build import build
from fewstep.export.families.catalogue import FAMILIES
from fewstep.profile.marks import Marked, Marks, step_names
from fewstep.profile.pipeline import Make, Pictures, Subject

NAMES = ("eager", "eager-channels-last", "compiled", "fused", "captured")

Fuse = Callable[[], tuple[Modules, dict[str, Report]]]


def family_makers(
    name: str,
    marks: Marks,
    *,
    device: str,
    size: str = "full",
    dtype: torch.dtype | None = None,
    images: int = 1,
    steps: int | None = None,
    mode: str = "default",
    names: tuple[str, ...] = NAMES,
) -> dict[str, Make]:
    """Makers by peer. mode: torch.compile's. Raises InputError for an unknown family, ContractError for its steps."""
    choice("family", name, FAMILIES)
    table = FAMILIES[name].contract.table(steps)
    kind = dtype or (torch.float32 if device == "cpu" else None)
    generation = build(name, "full" if size == "full" else "tiny", device, kind)
    ours = cache(partial(fuse, generation, images))
    makers: dict[str, Callable[[], Subject]] = {
        "eager": partial(eager, generation, table, images, marks),
        "eager-channels-last": partial(channels_last, generation, table, images, marks),
        "compiled": partial(compiled, generation, table, images, marks, mode),
        "fused": partial(fused, generation, table, images, marks, ours),
        "captured": partial(captured, generation, table, images, ours),
    }
    return {peer: makers[peer] for peer in names}


def eager(generation: Generation, table: Schedule, images: int, marks: Marks) -> Subject:
    """Timed with noise of PyTorch's own generator, as its users would; compared with the engine's noise."""
    marked = replace(generation, **_marked(generation.prompt, generation.denoiser, generation.decoder, table, marks))
    inputs, seeds = generation.random_inputs(images, seed=0), range(images)
    draw = torch_noise(generation, images)
    return Subject(
        run=lambda: generate(marked, inputs, seeds, table, draw),
        pictures=lambda: _numpy(generate(marked, inputs, seeds, table)),
    )


def channels_last(generation: Generation, table: Schedule, images: int, marks: Marks) -> Subject:
    """A copy whose convolutions' weights are laid out as tensor cores read them; activations follow."""
    denoiser, decoder = (
        deepcopy(part).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for part in (generation.denoiser, generation.decoder)
    )
    return eager(replace(generation, denoiser=denoiser, decoder=decoder), table, images, marks)


def compiled(generation: Generation, table: Schedule, images: int, marks: Marks, mode: str) -> Subject:
    torch.compiler.reset()
    compile_ = partial(torch.compile, mode=mode, dynamic=False)
    parts: dict[str, Any] = {
        "prompt": Kept(compile_(generation.prompt)),
        "denoiser": compile_(generation.denoiser),
        "decoder": compile_(generation.decoder),
    }
    return eager(replace(generation, **parts), table, images, marks)


class Kept(nn.Module):
    """Clones its part's results: with CUDA graphs of torch.compile's own, the next call would overwrite them."""

    def __init__(self, part: Callable[..., Any]) -> None:
        super().__init__()
        self._part = part

    def forward(self, *args: Any) -> tuple[Tensor, ...]:
        return tuple(x.clone() for x in self._part(*args))


def fused(generation: Generation, table: Schedule, images: int, marks: Marks, ours: Fuse) -> Subject:
    """The kernels, launched one by one."""
    _check_device(generation)
    modules, reports = ours()
    marked = Modules(**_marked(modules.prompt, modules.denoiser, modules.decoder, table, marks))
    program = _program(generation, marked, table, images)
    note = "\n".join(f"{part}:\n{report}" for part, report in reports.items())
    return Subject(program.run, partial(_result, program), note=note)


def captured(generation: Generation, table: Schedule, images: int, ours: Fuse) -> Subject:
    """The same as one CUDA graph, which has no stages to be told apart."""
    _check_device(generation)
    program = _program(generation, ours()[0], table, images)
    graph = Captured(program)

    def pictures() -> Pictures:
        graph.run()
        return _numpy(program.result())

    return Subject(graph.run, pictures)


def torch_noise(generation: Generation, images: int) -> Draw:
    source = torch.Generator(generation.device).manual_seed(0)
    shape = (images, *generation.latent)

    def draw(step: int) -> Tensor:
        return torch.randn(shape, generator=source, device=generation.device)

    return draw


def _program(generation: Generation, modules: Modules, table: Schedule, images: int) -> Program:
    program = Program(generation, modules, Shape.of(images, table))
    program.load(range(images), generation.random_inputs(images, seed=0), table)
    return program


def _result(program: Program) -> Pictures:
    program.run()
    return _numpy(program.result())


def _marked(prompt: Any, denoiser: Any, decoder: Any, table: Schedule, marks: Marks) -> dict[str, Any]:
    return {
        "prompt": Marked(prompt, marks, [("inputs", "prompt")]),
        "denoiser": Marked(denoiser, marks, step_names(len(table))),
        "decoder": Marked(decoder, marks, [(f"update {len(table)}", "decode")]),
    }


def _check_device(generation: Generation) -> None:
    if generation.device.type != "cuda":
        raise BackendError("needs a GPU: Triton's interpreter says nothing of speed")


def _numpy(pictures: Tensor) -> Pictures:
    return pictures.cpu().numpy().copy()

"""Runs a Generation with PyTorch: eager, the yardstick, or fused and, on CUDA, captured as one graph a request."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from fewstep.engine.backends.torch.captured import Captured
from fewstep.engine.backends.torch.eager import check_finite, pixels_of, to_bytes
from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.engine.backends.torch.fuse.rewrite import rewrite
from fewstep.engine.backends.torch.fuse.stage import Staged, split_at_prompt
from fewstep.engine.backends.torch.generation import Generation
from fewstep.engine.backends.torch.guided import of_schedule
from fewstep.engine.backends.torch.program import Modules, Program, Shape
from fewstep.engine.checks import choice
from fewstep.engine.image import Images
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.engine.timings import Timings
from fewstep.errors import BackendError, InputError

Kind = Literal["eager", "fused"]
MAX_PROGRAMS = 4  # kept ready: a captured one holds the memory of all its activations
Progress = Callable[[int, int], None]


class TorchBackend:
    """Safe to call from several threads, one after the other.

    1. The first request of a number of images and steps makes its program: seconds of rewriting, compiling and
       capturing, which `Timings.load` of that request counts. The MAX_PROGRAMS used last stay.
    2. Nothing falls back in silence: `reports` says for each part what was fused and what was left and why.
    """

    name = "torch"

    def __init__(self, generation: Generation, *, kind: Kind = "fused") -> None:
        """Raises InputError for an unknown kind."""
        self.kind = choice("kind", kind, get_args(Kind))
        self.generation = generation
        self.device = str(generation.device)
        self.reports: dict[str, Report] = {}
        self._modules: dict[tuple[int, bool], Modules] = {}  # by images, and whether they are guided
        self._programs: OrderedDict[Shape, tuple[Program, Captured | None]] = OrderedDict()
        self._lock = threading.Lock()

    def run(
        self,
        seeds: Sequence[int],
        inputs: Mapping[str, Tensor],
        schedule: Schedule | GuidedSchedule,
        progress: Progress | None = None,
    ) -> tuple[Images, Timings]:
        """Images uint8 (n, H, W, 3), one a seed, and where the time went; progress(n, n) is called at the end.

        inputs: those of the generation, or with a GuidedSchedule of the guided one, on its device. Raises InputError
        and ContractError before anything runs, BackendError if the run fails or makes NaN or Inf.
        """
        if not seeds:
            raise InputError("seeds: expected at least one, got none")
        start = time.perf_counter()
        with self._lock:
            try:
                load, images = (
                    self._eager(seeds, inputs, schedule)
                    if self.kind == "eager"
                    else self._fused(seeds, inputs, schedule)
                )
            except torch.OutOfMemoryError as error:
                raise BackendError(f"{self.generation.name}: {len(seeds)} images do not fit: {error}") from error
        if progress is not None:
            progress(len(seeds), len(seeds))
        return images, Timings(load=load, total=(time.perf_counter() - start) * 1e3 - load)

    def parts(self, images: int, schedule: Schedule | GuidedSchedule) -> Modules:
        """The modules, fused unless this is eager, for a loop that no program is: one that begins elsewhere."""
        made = of_schedule(self.generation, schedule)
        if self.kind == "eager":
            return Modules(made.prompt, made.denoiser, made.decoder)
        with self._lock:
            return self._fused_modules(images, schedule)

    def _fused_modules(self, images: int, schedule: Schedule | GuidedSchedule) -> Modules:
        key = images, isinstance(schedule, GuidedSchedule)
        if key not in self._modules:
            kept = {(shape.images, shape.guided) for shape in self._programs}
            self._modules = {other: modules for other, modules in self._modules.items() if other in kept}
            self._modules[key], self.reports = fuse(of_schedule(self.generation, schedule), images)
        return self._modules[key]

    def _eager(
        self, seeds: Sequence[int], inputs: Mapping[str, Tensor], schedule: Schedule | GuidedSchedule
    ) -> tuple[float, Images]:
        pixels = pixels_of(self.generation, inputs, seeds, schedule)
        check_finite(self.generation, pixels)
        return 0.0, to_bytes(pixels).cpu().numpy()

    def _fused(
        self, seeds: Sequence[int], inputs: Mapping[str, Tensor], schedule: Schedule | GuidedSchedule
    ) -> tuple[float, Images]:
        shape = Shape.of(len(seeds), schedule)
        start = time.perf_counter()
        made = shape not in self._programs
        program, captured = self._program(shape, inputs, seeds, schedule)
        load = (time.perf_counter() - start) * 1e3 if made else 0.0
        program.load(seeds, inputs, schedule)
        (program if captured is None else captured).run()
        return load, program.result().cpu().numpy()

    def _program(
        self,
        shape: Shape,
        inputs: Mapping[str, Tensor],
        seeds: Sequence[int],
        schedule: Schedule | GuidedSchedule,
    ) -> tuple[Program, Captured | None]:
        if shape in self._programs:
            self._programs.move_to_end(shape)
            return self._programs[shape]
        program = Program(of_schedule(self.generation, schedule), self._fused_modules(shape.images, schedule), shape)
        program.load(seeds, inputs, schedule)  # what is warmed up with is a request, not zeros
        captured = Captured(program) if self.generation.device.type == "cuda" else None
        self._programs[shape] = program, captured
        while len(self._programs) > MAX_PROGRAMS:
            self._programs.popitem(last=False)
        return self._programs[shape]


@torch.no_grad()
def fuse(generation: Generation, images: int) -> tuple[Modules, dict[str, Report]]:
    """The generation's modules rewritten for a number of images, and the report on each.

    What the denoiser makes of the prompt alone is done by the prompt stage, whose conditions it then is.
    """
    inputs = tuple(generation.random_inputs(images, seed=0).values())
    prompt, prompt_report = rewrite(generation.prompt, inputs)
    conditions = generation.prompt(*inputs)
    u = torch.zeros((images, *generation.latent), dtype=generation.dtype, device=generation.device)
    tau = torch.ones(images, device=generation.device)
    denoiser, denoiser_report = rewrite(generation.denoiser, (u, tau, *conditions))
    once, step = split_at_prompt(denoiser, 2, denoiser_report)  # u and tau change
    decoder, decoder_report = rewrite(generation.decoder, (u.float(),))
    reports = {"prompt": prompt_report, "denoiser": denoiser_report, "decoder": decoder_report}
    return Modules(Staged(prompt, once), step, decoder), reports

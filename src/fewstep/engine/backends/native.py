"""Runs a plan with the compiled runtime: no ONNX, no PyTorch, one call a batch.

A plan's batch is fixed. Fewer images than that fill its last run with copies of the last of them, so an image meets the
same shapes, the same arithmetic and the same bytes however many are asked for.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewstep import _runtime
from fewstep.engine.backends.plan_inputs import OF_SEEDS, check_start, start_inputs
from fewstep.engine.checks import choice, whole
from fewstep.engine.cores import available
from fewstep.engine.device import DEVICES, MAX_THREADS
from fewstep.engine.image import Images
from fewstep.engine.job import Job
from fewstep.engine.latent import as_state
from fewstep.engine.plan_model import PlanModel, read_model
from fewstep.engine.table import GuidedSchedule
from fewstep.engine.timings import Timings
from fewstep.errors import ContractError

Progress = Callable[[int, int], None]


class NativeBackend:
    """A plan on its device, made once. Safe to call from several threads, which are served one after another."""

    name = "native"

    def __init__(self, path: str | os.PathLike[str], *, device: str = "cpu", threads: int | None = None) -> None:
        """threads: CPU threads, by default the physical cores this process may use.

        Raises InputError for illegal arguments, PlanError for a damaged plan or one for another device, DeviceError.
        """
        start = time.perf_counter()
        choice("device", device, (*DEVICES, "auto"))
        self.threads = available() if threads is None else whole("threads", threads, 1, MAX_THREADS)
        self.program = _runtime.Program(os.fspath(path), device=device, threads=self.threads)
        self.device = self.program.device
        self.model: PlanModel = read_model(self.program.metadata, os.fspath(path))
        self.load_ms = (time.perf_counter() - start) * 1e3

    def run(self, job: Job, progress: Progress | None = None) -> tuple[Images, Timings]:
        """Images uint8 (n, H, W, 3) and where the time went: a run is one call, so all of it counts as one stage.

        The schedule is the model's own of its step count, which the plan holds. Raises ContractError for a start that
        the plan was not compiled for; DeviceError.
        """
        if isinstance(job.schedule, GuidedSchedule) and (job.schedule.guidance != self.model.schedule.guidance).any():
            told = self.model.schedule.guidance
            raise ContractError(f"a plan holds its guidance, {told:g}; load the bundle to give it another")
        start = time.perf_counter()
        images = self._run(job, ("images",), progress)["images"]
        return images, Timings(load=self.load_ms, denoise=((time.perf_counter() - start) * 1e3,))

    @property
    def state(self) -> tuple[int, ...]:
        return tuple(self.program.outputs["latents"][1][1:])

    def encode(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """See request_start.Encoder; of models of pixels."""
        if "state" not in self.program.inputs:
            raise ContractError(f"image: {OF_SEEDS}")
        image = self.model.image
        if self.state != (image.channels, image.height, image.width):
            raise ContractError(
                f"image: the plan of {self.model.name} has no encoder of pictures; load the bundle it was compiled from"
            )
        return as_state(pixels, self.model.latent), None

    def generate(self, job: Job) -> tuple[NDArray[np.float32], Images]:
        """The latents float32 (n, ...) that the decoder is given, and the images."""
        made = self._run(job, ("latents", "images"), None)
        return made["latents"], made["images"]

    def _run(self, job: Job, outputs: Sequence[str], progress: Progress | None) -> dict[str, Any]:
        check_start(self.program.inputs, job)
        n, B = len(job.seeds), self.program.batch
        made = {
            name: np.empty((n, *self.program.outputs[name][1][1:]), self.program.outputs[name][0]) for name in outputs
        }
        for first in range(0, n, B):
            rows = np.minimum(np.arange(first, first + B), n - 1).tolist()
            inputs = start_inputs(self.program.inputs, job, rows) | {name: x[rows] for name, x in job.inputs.items()}
            results = self.program.run(inputs, len(job.table), outputs, first=job.start.first)
            for name in outputs:
                made[name][first : first + B] = results[name][: n - first]
            if progress is not None:
                progress(min(first + B, n), n)
        return made

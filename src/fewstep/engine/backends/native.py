"""Runs a plan with the compiled runtime: no ONNX, no PyTorch, one call a batch.

A plan's batch is fixed. Fewer images than that fill its last run with copies of the last of them, so an image meets the
same shapes, the same arithmetic and the same bytes however many are asked for.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewstep import _runtime
from fewstep.engine.checks import choice, whole
from fewstep.engine.cores import available
from fewstep.engine.device import DEVICES, MAX_THREADS
from fewstep.engine.image import Images
from fewstep.engine.job import Job
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

        The schedule is the model's own of its step count, which the plan holds. Raises ContractError for other noise
        than the seeds', which a plan makes itself, and for pictures to change; DeviceError.
        """
        if job.start.noise is not None:
            raise ContractError("a plan makes its own noise; load the bundle to give it another")
        if job.start.latents is not None:
            raise _begins_with_noise()
        if isinstance(job.schedule, GuidedSchedule) and (job.schedule.guidance != self.model.schedule.guidance).any():
            told = self.model.schedule.guidance
            raise ContractError(f"a plan holds its guidance, {told:g}; load the bundle to give it another")
        start = time.perf_counter()
        images = self._run(job.seeds, job.inputs, len(job.table), ("images",), progress)["images"]
        return images, Timings(load=self.load_ms, denoise=((time.perf_counter() - start) * 1e3,))

    @property
    def state(self) -> tuple[int, ...]:
        return tuple(self.program.outputs["latents"][1][1:])

    def encode(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Raises ContractError."""
        raise _begins_with_noise()

    def generate(
        self, seeds: Sequence[int], inputs: Mapping[str, NDArray[Any]], steps: int
    ) -> tuple[NDArray[np.float32], Images]:
        """The latents float32 (n, ...) that the decoder is given, and the images."""
        made = self._run(seeds, inputs, steps, ("latents", "images"), None)
        return made["latents"], made["images"]

    def _run(
        self,
        seeds: Sequence[int],
        given: Mapping[str, NDArray[Any]],
        steps: int,
        outputs: Sequence[str],
        progress: Progress | None,
    ) -> dict[str, Any]:
        n, B = len(seeds), self.program.batch
        words = np.array(seeds, np.uint64).view(np.int64)
        made = {
            name: np.empty((n, *self.program.outputs[name][1][1:]), self.program.outputs[name][0]) for name in outputs
        }
        for first in range(0, n, B):
            rows = np.minimum(np.arange(first, first + B), n - 1)
            inputs = {"seeds": words[rows]} | {name: values[rows] for name, values in given.items()}
            results = self.program.run(inputs, steps, outputs)
            for name in outputs:
                made[name][first : first + B] = results[name][: n - first]
            if progress is not None:
                progress(min(first + B, n), n)
        return made


def _begins_with_noise() -> ContractError:
    return ContractError("a plan begins with noise; load the bundle to change pictures")

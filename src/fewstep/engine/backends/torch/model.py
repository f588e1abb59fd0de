"""A Generation behind the faces: arrays in, pictures out, as every backend has it."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewstep.engine.backends.torch.backend import Kind, TorchBackend
from fewstep.engine.backends.torch.eager import check_finite, denoise, to_bytes
from fewstep.engine.backends.torch.generation import Generation, Input, check_inputs, check_table
from fewstep.engine.backends.torch.guided import of_schedule
from fewstep.engine.backends.torch.program import Modules
from fewstep.engine.image import Images
from fewstep.engine.job import Job
from fewstep.engine.timings import Timings
from fewstep.errors import BackendError, ContractError

Progress = Callable[[int, int], None]
Floats = NDArray[np.float32]


class TorchModel:
    """Safe to call from several threads, one after the other."""

    name = "torch"

    def __init__(self, generation: Generation, *, kind: Kind | None = None, load_ms: float = 0.0) -> None:
        """kind: eager or fused, by default fused on CUDA and eager where its kernels do not run."""
        self.generation = generation
        chosen: Kind = "fused" if generation.device.type == "cuda" else "eager"
        self._backend = TorchBackend(generation, kind=kind or chosen)
        self.kind = self._backend.kind
        self.device, self.threads, self.load_ms = generation.device.type, torch.get_num_threads(), load_ms

    @property
    def state(self) -> tuple[int, ...]:
        return self.generation.latent

    def run(self, job: Job, progress: Progress | None = None) -> tuple[Images, Timings]:
        """As the other backends. With noise or pictures that are given the modules, fused or eager, run one after the
        other: no graph is captured of them. Raises BackendError.
        """
        if job.start.noise is None and job.start.latents is None:
            images, timings = self._backend.run(job.seeds, self._tensors(job), job.schedule, progress)
            timings.load = self.load_ms
            return images, timings
        start = time.perf_counter()
        parts = self._backend.parts(len(job.seeds), job.schedule)
        latents = self._denoised(job, parts)
        with torch.inference_mode():
            pixels = parts.decoder(latents)
        check_finite(self.generation, pixels)
        made: Images = to_bytes(pixels).cpu().numpy()
        if progress is not None:
            progress(len(job.seeds), len(job.seeds))
        return made, Timings(load=self.load_ms, total=(time.perf_counter() - start) * 1e3)

    @torch.inference_mode()
    def encode(self, pixels: Floats) -> tuple[Floats, Floats | None]:
        """See request_start.Encoder; each picture alone, so that its neighbours change nothing."""
        if self.generation.encoder is None:
            raise ContractError(f"image: {self.generation.name} has no encoder of pictures; it begins with noise alone")
        given = torch.from_numpy(pixels).to(self.generation.device)
        rows = [self.generation.encoder(given[i : i + 1]) for i in range(len(given))]
        mean, *deviation = (torch.cat(parts).cpu().numpy() for parts in zip(*rows, strict=True))
        if not np.isfinite(mean).all():
            raise BackendError(f"{self.generation.name}: an image's latents became NaN or Inf; its weights are damaged")
        return mean, deviation[0] if deviation else None

    def latents(self, job: Job) -> NDArray[np.float32]:
        """The states (n, ...) that the decoder is given."""
        found: NDArray[np.float32] = (
            self._denoised(job, self._backend.parts(len(job.seeds), job.schedule)).cpu().numpy()
        )
        return found

    @torch.inference_mode()
    def _denoised(self, job: Job, parts: Modules) -> Tensor:
        check_table(job.schedule)
        generation = of_schedule(self.generation, job.schedule)

        def draw(step: int) -> Tensor:
            return torch.from_numpy(job.batch(step, generation.latent)).to(generation.device)

        conditions = parts.prompt(*check_inputs(generation, self._tensors(job), len(job.seeds)))
        return denoise(generation, parts.denoiser, conditions, job.schedule, draw, job.start)

    def _tensors(self, job: Job) -> dict[str, Tensor]:
        """Its inputs on the device, each of its own shape: a class is a column elsewhere."""
        specs = of_schedule(self.generation, job.schedule).inputs
        return {spec.name: self._tensor(spec, job.inputs[spec.name]) for spec in specs}

    def _tensor(self, spec: Input, values: NDArray[Any]) -> Tensor:
        shaped = np.ascontiguousarray(values).reshape(len(values), *spec.shape)
        return torch.from_numpy(shaped).to(self.generation.device, spec.dtype)

"""Runs a bundle with onnxruntime, on a CPU or through CUDA.

Every image runs alone in a batch of one (two with guidance), and images run side by side on as many workers as there
are threads. So one shape is all the network ever sees, and an image's bytes cannot depend on its batch, neighbours or
order, whichever kernels onnxruntime picks for a shape. Measured for toons16-32 on two cores, eight images, one step:
7.7 ms; in two batches of four 5.9 ms.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.backends.lanes import Lanes
from fewstep.engine.backends.network import Network, Values
from fewstep.engine.backends.once import Kept, Once
from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import DECODER, DENOISER, ENCODE_PROMPT, ENCODER, NULL
from fewstep.engine.checks import choice, whole
from fewstep.engine.cores import available
from fewstep.engine.device import DEVICES, MAX_THREADS
from fewstep.engine.image import Images, to_uint8
from fewstep.engine.job import Job
from fewstep.engine.latent import as_state
from fewstep.engine.reading.interface import input_names
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.engine.timings import Timings
from fewstep.errors import BundleError, ContractError

# Bytes of weights up to which an image runs on one thread, and threads share out images alone. Waking a second thread
# for every operator of a small network costs what it brings: toons16 in two steps takes 4.6 ms on one thread and, on
# two, from 3.7 ms in a tight loop to 9.3 ms after a pause.
SMALL = 1 << 25
Progress = Callable[[int, int], None]
Floats = NDArray[np.float32]


class OnnxRuntimeBackend:
    """Sessions, made once, and the buffers of each worker, bound once to them. Safe to call from several threads.

    staged: whether the network runs in stages, so that a step computes only what depends on the state.
    """

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, *, device: str = "cpu", threads: int | None = None) -> None:
        """threads: CPU threads, by default the physical cores this process may use.

        Raises InputError for illegal arguments, MissingDependencyError if this onnxruntime cannot use the device,
        BundleError if it refuses the bundle, BackendError if the device fails.
        """
        start = time.perf_counter()
        self.device = choice("device", device, DEVICES)
        self.threads = available() if threads is None else whole("threads", threads, 1, MAX_THREADS)
        self._bundle, self._manifest = bundle, bundle.manifest
        if self._manifest.image.channels != 3:
            raise BundleError(
                f"{self._manifest.name}: expected an image of 3 channels, got {self._manifest.image.channels}"
            )
        self._inputs = input_names(self._manifest)
        components = self._manifest.components
        size = sum(len(data) for _, data in bundle.session_inputs(DENOISER)[1])
        threads = self.threads if size > SMALL else 1
        network = Network(bundle, DENOISER, self.device, threads)
        once = [name for name in (ENCODE_PROMPT, DECODER, ENCODER) if name in components]
        opened = {name: Once(bundle, name, self.device, threads) for name in once}
        self._prompt = Kept(opened[ENCODE_PROMPT]) if ENCODE_PROMPT in opened else None
        self._decoder, self._encoder = opened.get(DECODER), opened.get(ENCODER)
        self.staged = network.staged
        self._lanes = Lanes(network, self._manifest)
        self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="fewstep")
        self.load_ms = (time.perf_counter() - start) * 1e3

    def run(self, job: Job, progress: Progress | None = None) -> tuple[Images, Timings]:
        """Images uint8 (n, H, W, 3) and where the time went.

        progress(done, n) is called after each image, in order. Raises BackendError if onnxruntime fails or the network
        returns NaN or Inf, BundleError if a file that is read where it lies was written to.
        """
        _check(job.table)
        self._bundle.check_unchanged()
        n, image = len(job.seeds), self._manifest.image
        images = np.empty((n, image.height, image.width, image.channels), np.uint8)
        times = np.zeros(len(job.table) - job.start.first + 2)
        workers = min(self.threads, n) if self.device == "cpu" else 1

        def make(i: int) -> NDArray[np.float64]:
            start = time.perf_counter()
            latent, seconds = self._latent(i, job)
            images[i] = self._picture(latent)
            return np.append(seconds, time.perf_counter() - start - seconds.sum())

        results = map(make, range(n)) if workers == 1 else self._executor.map(make, range(n))
        for done, stages in enumerate(results, 1):
            times += stages
            if progress is not None:
                progress(done, n)
        times *= 1e3 / workers
        prompt, *denoise, decode = times.tolist()
        return images, Timings(load=self.load_ms, prompt=prompt, denoise=tuple(denoise), decode=decode)

    @property
    def state(self) -> tuple[int, ...]:
        return self._manifest.state.shape

    def encode(self, pixels: Floats) -> tuple[Floats, Floats | None]:
        """See request_start.Encoder; each picture alone, so that its neighbours change nothing."""
        scaling = self._manifest.latent
        if self._decoder is None:
            return as_state(pixels, scaling), None
        if self._encoder is None:
            raise ContractError(
                f"image: {self._manifest.name} has no encoder of pictures; export it anew with --editing, or load the "
                "checkpoint itself"
            )
        (given,), made = self._encoder.spec.inputs, self._encoder.spec.outputs
        rows = [self._encoder.run({given.name: pixels[i : i + 1]}) for i in range(len(pixels))]
        mean, *deviation = (np.concatenate([row[tensor.name] for row in rows]) for tensor in made)
        return as_state(mean, scaling), deviation[0] * np.float32(scaling.scaling_factor) if deviation else None

    def latents(self, job: Job) -> NDArray[np.float32]:
        """The states (n, ...) that a decoder is given."""
        _check(job.table)
        return np.concatenate([self._latent(i, job)[0] for i in range(len(job.seeds))])

    def _latent(self, i: int, job: Job) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Of image i, (1, ...), and the seconds as Lane.run says them, with the prompt's component in the first."""
        start = time.perf_counter()
        prefixes = (NULL, "") if isinstance(job.schedule, GuidedSchedule) else ("",)
        conditions = [self._conditions(prefix, i, job) for prefix in prefixes]
        noise = job.noise(i, self._manifest.state.shape)
        prompt = time.perf_counter() - start
        lane = self._lanes.take(job.schedule)
        latent, seconds = lane.run(conditions, noise, job.schedule, job.start.of(i))
        latent = latent.copy()
        self._lanes.give_back(lane, job.schedule)
        seconds[0] += prompt
        return latent, seconds

    def _conditions(self, prefix: str, i: int, job: Job) -> Values:
        """The denoiser's, of image i, (1, ...); prefix: of the names of the inputs that they are made of."""
        values: Values = {name: job.inputs[prefix + known][i : i + 1] for known, name in self._inputs.items()}
        return values if self._prompt is None else self._prompt.run(values)

    def _picture(self, latent: NDArray[np.float32]) -> Images:
        """uint8 (H, W, 3) of one state (1, ...)."""
        scaling, image = self._manifest.latent, self._manifest.image
        pixels = latent / np.float32(scaling.scaling_factor) + np.float32(scaling.shift_factor)
        if self._decoder is not None:
            pixels = self._decoder.run({self._decoder.spec.inputs[0].name: pixels})[self._decoder.spec.outputs[0].name]
        picture: Images = to_uint8(pixels, *image.range)[0]
        return picture


def _check(table: Schedule) -> None:
    """Raises ContractError for one of networks of two times."""
    if table.two_times:
        raise ContractError(f"schedule {table.name} needs a network of two times; this backend runs networks of one")

"""Runs a bundle with onnxruntime, on a CPU or through CUDA.

Every image runs alone in a batch of one (two with guidance), and images run side by side on as many workers as there
are threads. So one shape is all the network ever sees, and an image's bytes cannot depend on its batch, neighbours or
order, whichever kernels onnxruntime picks for a shape. Measured for toons16-32 on two cores, eight images, one step:
7.7 ms; in two batches of four 5.9 ms.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.backends.lanes import Lanes
from fewstep.engine.backends.network import Network
from fewstep.engine.bundle import Bundle
from fewstep.engine.checks import choice, whole
from fewstep.engine.cores import available
from fewstep.engine.device import DEVICES, MAX_THREADS
from fewstep.engine.image import Images
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.engine.timings import Timings
from fewstep.errors import BundleError, ContractError

# Bytes of weights up to which an image runs on one thread, and threads share out images alone. Waking a second thread
# for every operator of a small network costs what it brings: toons16 in two steps takes 4.6 ms on one thread and, on
# two, from 3.7 ms in a tight loop to 9.3 ms after a pause.
SMALL = 1 << 25
Progress = Callable[[int, int], None]


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
        self._manifest = bundle.manifest
        if self._manifest.image.channels != 3:
            raise BundleError(
                f"{self._manifest.name}: expected an image of 3 channels, got {self._manifest.image.channels}"
            )
        size = sum(len(data) for _, data in bundle.session_inputs("denoiser")[1])
        network = Network(bundle, "denoiser", self.device, self.threads if size > SMALL else 1)
        self.staged = network.staged
        self._lanes = Lanes(network, self._manifest)
        self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="fewstep")
        self.load_ms = (time.perf_counter() - start) * 1e3

    def run(
        self,
        seeds: Sequence[int],
        labels: NDArray[np.int64],
        schedule: Schedule | GuidedSchedule,
        progress: Progress | None = None,
    ) -> tuple[Images, Timings]:
        """Images uint8 (n, H, W, 3) and where the time went.

        seeds: n ints; labels: (n, L) rows of the label tables; progress(done, n) is called after each image, in order.
        Raises BackendError if onnxruntime fails or the network returns NaN or Inf.
        """
        table = schedule if isinstance(schedule, Schedule) else schedule.schedule
        if table.two_times:
            raise ContractError(
                f"schedule {table.name} needs a network of two times; this backend runs networks of one"
            )
        n = len(seeds)
        image = self._manifest.image
        images = np.empty((n, image.height, image.width, image.channels), np.uint8)
        workers = min(self.threads, n) if self.device == "cpu" else 1

        def make(i: int) -> NDArray[np.float64]:
            lane = self._lanes.take(schedule)
            images[i], times = lane.run(seeds[i], labels[i], schedule)
            self._lanes.give_back(lane, schedule)
            return times

        results = map(make, range(n)) if workers == 1 else self._executor.map(make, range(n))
        times = np.zeros(len(table) + 2)
        for done, stages in enumerate(results, 1):
            times += stages
            if progress is not None:
                progress(done, n)
        times *= 1e3 / workers
        prompt, *denoise, decode = times.tolist()
        return images, Timings(load=self.load_ms, prompt=prompt, denoise=tuple(denoise), decode=decode)

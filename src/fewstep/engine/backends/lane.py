"""One worker's way through the network: buffers of one image, bound once, and the loop over the steps."""

import time
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from fewstep.engine.backends.session import first_line
from fewstep.engine.backends.state import State
from fewstep.engine.bundle_manifest import Manifest
from fewstep.engine.image import Images, to_uint8
from fewstep.engine.noise import normal
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.errors import BackendError


class Lane:
    """Not safe to run twice at once. The batch is (cond,), or (null, cond) with guidance."""

    def __init__(self, session: ort.InferenceSession, manifest: Manifest, guided: bool) -> None:
        self.guided = guided
        self._manifest = manifest
        self._session = session
        B, shape = 1 + guided, tuple(manifest.state.shape)
        self._state = State((1, *shape))
        self._u = np.zeros((B, *shape), np.float32)
        self._t = np.zeros(B, np.float32)
        self._labels = np.zeros((B, len(manifest.labels)), np.int64)
        self._labels[0] = [table.null for table in manifest.labels]
        self._m = np.zeros((B, *shape), np.float32)
        self._binding = session.io_binding()
        component = manifest.components["denoiser"]
        buffers: list[NDArray[Any]] = [self._u, self._t, self._labels]
        for tensor, buffer in zip(component.inputs, buffers[: len(component.inputs)], strict=True):
            self._binding.bind_input(tensor.name, "cpu", 0, buffer.dtype.type, buffer.shape, buffer.ctypes.data)
        m = self._m
        self._binding.bind_output(component.outputs[0].name, "cpu", 0, m.dtype.type, m.shape, m.ctypes.data)

    def run(
        self, seed: int, labels: NDArray[np.int64], schedule: Schedule | GuidedSchedule
    ) -> tuple[Images, NDArray[np.float64]]:
        """The picture uint8 (H, W, 3) of one image, and the seconds of each step and of decoding (N + 1,)."""
        table = schedule if isinstance(schedule, Schedule) else schedule.schedule
        clock = [time.perf_counter()]
        state, shape = self._state, self._state.x.shape[1:]
        self._labels[-1] = labels
        state.start(table, normal([seed], 0, shape))
        for i in range(len(table)):
            self._u[:] = state.scale_input(table, i)
            self._t[:] = table.tau[i]
            self._call(i, len(table))
            z = normal([seed], i + 1, shape) if table.c[i] else None
            state.advance(schedule, i, [self._m[j : j + 1] for j in range(len(self._m))], z)
            clock.append(time.perf_counter())
        latent, image = self._manifest.latent, self._manifest.image
        pixels = state.finish(table) / np.float32(latent.scaling_factor) + np.float32(latent.shift_factor)
        picture = to_uint8(pixels, *image.range)[0]
        clock.append(time.perf_counter())
        return picture, np.diff(clock)

    def _call(self, i: int, steps: int) -> None:
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # onnxruntime's errors have no common base
            raise BackendError(f"onnxruntime failed at step {i + 1} of {steps}: {first_line(error)}") from error
        if not np.isfinite(self._m).all():
            raise BackendError(f"the denoiser returned NaN or Inf at step {i + 1} of {steps}; its weights are damaged")

"""One worker's way through the network for one schedule: buffers of one image, bound once, and the loop over the steps.

What depends on prompt and time is made for all steps as one batch: its rows are the steps, and in each the images.
"""

import time

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.backends.network import Network, Values
from fewstep.engine.backends.state import State
from fewstep.engine.bundle_manifest import MODULATION, PROMPT, STEP, Manifest, TensorSpec
from fewstep.engine.image import Images, to_uint8
from fewstep.engine.noise import normal
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.errors import BackendError


class Lane:
    """Not safe to run twice at once. The batch is (cond,), or (null, cond) with guidance."""

    def __init__(self, network: Network, manifest: Manifest, guided: bool, tables: Values) -> None:
        """tables: of the schedule's times, from network.tables."""
        self._network = network
        self._manifest = manifest
        B, shape = 1 + guided, tuple(manifest.state.shape)
        N = self._steps = len(tables[network.time.name])
        self._state = State((1, *shape))
        self._u = np.zeros((B, *shape), np.float32)
        self._labels = np.zeros((B, len(manifest.labels)), np.int64)
        self._labels[0] = [table.null for table in manifest.labels]
        self._m = np.zeros((B, *shape), np.float32)
        self._of_prompt = {tensor.name: self._labels for tensor in network.prompt} | self._made(PROMPT, B)
        self._of_steps: Values = {name: np.repeat(table, B, axis=0) for name, table in tables.items()}
        self._early = {}
        if PROMPT in network.parts:
            self._early[PROMPT] = network.bind(PROMPT, self._of_prompt)
        self._repeated = {}
        if MODULATION in network.parts:
            taken = {tensor.name for tensor in network.parts[MODULATION].inputs}
            self._repeated = {
                name: np.zeros((N, *value.shape), value.dtype)
                for name, value in self._of_prompt.items()
                if name in taken
            }
            self._of_steps |= self._made(MODULATION, N * B)
            rows = {name: value.reshape(N * B, *value.shape[2:]) for name, value in self._repeated.items()}
            self._early[MODULATION] = network.bind(MODULATION, self._of_steps | rows)
        self._loop = []
        for i in range(N):
            of_step = {name: rows[i * B : (i + 1) * B] for name, rows in self._of_steps.items()}
            output = {network.parts[STEP].outputs[0].name: self._m}
            self._loop.append(network.bind(STEP, {network.state.name: self._u, **self._of_prompt, **of_step, **output}))

    def run(
        self, seed: int, labels: NDArray[np.int64], schedule: Schedule | GuidedSchedule
    ) -> tuple[Images, NDArray[np.float64]]:
        """The picture uint8 (H, W, 3) of one image, and the seconds of the prompt, of each step and of decoding, N + 2.

        schedule: of the times that this was made for.
        """
        table = schedule if isinstance(schedule, Schedule) else schedule.schedule
        clock = [time.perf_counter()]
        self._labels[-1] = labels
        self._prepare()
        clock.append(time.perf_counter())
        state, shape = self._state, self._state.x.shape[1:]
        state.start(table, normal([seed], 0, shape))
        for i in range(len(table)):
            self._u[:] = state.scale_input(table, i)
            self._call(i)
            z = normal([seed], i + 1, shape) if table.c[i] else None
            state.advance(schedule, i, [self._m[j : j + 1] for j in range(len(self._m))], z)
            clock.append(time.perf_counter())
        latent, image = self._manifest.latent, self._manifest.image
        pixels = state.finish(table) / np.float32(latent.scaling_factor) + np.float32(latent.shift_factor)
        picture = to_uint8(pixels, *image.range)[0]
        clock.append(time.perf_counter())
        return picture, np.diff(clock)

    def _prepare(self) -> None:
        """All that depends on the labels and not on the state."""
        for part, binding in self._early.items():
            if part == MODULATION:
                for name, repeated in self._repeated.items():
                    repeated[:] = self._of_prompt[name]
            self._network.run(part, binding, f"in the stage {part}")

    def _call(self, i: int) -> None:
        where = f"at step {i + 1} of {self._steps}"
        self._network.run(STEP, self._loop[i], where)
        if not np.isfinite(self._m).all():
            raise BackendError(f"the denoiser returned NaN or Inf {where}; its weights are damaged")

    def _made(self, part: str, rows: int) -> Values:
        """Buffers for what a stage makes, if there is such a stage."""
        stage = self._network.parts.get(part)
        return {tensor.name: _buffer(tensor, rows) for tensor in stage.outputs} if stage else {}


def _buffer(tensor: TensorSpec, rows: int) -> NDArray[np.generic]:
    return np.zeros((rows, *map(int, tensor.shape[1:])), tensor.dtype)

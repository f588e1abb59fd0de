"""One worker's way through the network for one schedule: buffers of one image, bound once, and the loop over the steps.

What depends on prompt and time is made for all steps as one batch: its rows are the steps, and in each the images.
"""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.backends.network import Network, Values
from fewstep.engine.backends.state import State
from fewstep.engine.bundle_manifest import MODULATION, PROMPT, STEP, Manifest, TensorSpec
from fewstep.engine.noise import Noise
from fewstep.engine.start import Start
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.errors import BackendError


class Lane:
    """Not safe to run twice at once. The batch is (cond,), or (null, cond) with guidance."""

    def __init__(self, network: Network, manifest: Manifest, guided: bool, tables: Values) -> None:
        """tables: of the schedule's times, from network.tables."""
        self._network = network
        B, shape = 1 + guided, tuple(manifest.state.shape)
        N = self._steps = len(tables[network.time.name])
        self._state = State((1, *shape))
        self._u = np.zeros((B, *shape), np.float32)
        self._m = np.zeros((B, *shape), np.float32)
        self._conditions = {tensor.name: _buffer(tensor, B) for tensor in network.prompt}
        self._of_prompt = self._conditions | self._made(PROMPT, B)
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
        self, conditions: Sequence[Values], noise: Noise, schedule: Schedule | GuidedSchedule, start: Start
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """The last state (1, ...) of one image, valid until the next run, and the seconds of what hangs on its
        conditions alone and of each step that runs.

        conditions: the denoiser's, of one image, (1, ...): (null, cond) with guidance, else (cond,). noise: step ->
        (1, ...), step 0 the first.
        schedule: of the times that this was made for. start: of one image.
        """
        table = schedule if isinstance(schedule, Schedule) else schedule.schedule
        clock = [time.perf_counter()]
        for name, condition in self._conditions.items():
            for row, values in enumerate(conditions):
                condition[row] = values[name][0]
        self._prepare()
        clock.append(time.perf_counter())
        state, z_0 = self._state, noise(0)
        state.start(table, z_0, start)
        for i in range(start.first, len(table)):
            self._u[:] = state.scale_input(table, i)
            self._call(i)
            z = noise(i + 1) if table.c[i] else None
            state.advance(schedule, i, [self._m[j : j + 1] for j in range(len(self._m))], z)
            state.keep(table, i, z_0, start)
            clock.append(time.perf_counter())
        return state.finish(table), np.diff(clock)

    def _prepare(self) -> None:
        """All that depends on the conditions and not on the state."""
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

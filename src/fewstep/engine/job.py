"""What a backend is asked to run: pictures of one schedule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.noise import Noise, stream
from fewstep.engine.start import Start
from fewstep.engine.table import GuidedSchedule, Schedule


@dataclass(frozen=True, eq=False)
class Job:
    """seeds: n; inputs: what a request brings, (n, ...) by name; start: what it gives beside them."""

    seeds: Sequence[int]
    inputs: Mapping[str, NDArray[Any]]
    schedule: Schedule | GuidedSchedule
    start: Start = field(default_factory=Start)

    @property
    def table(self) -> Schedule:
        """The schedule without its guidance."""
        return self.schedule if isinstance(self.schedule, Schedule) else self.schedule.schedule

    def noise(self, i: int, shape: Sequence[int]) -> Noise:
        """Of image i, whose state has a shape."""
        return stream(self.seeds[i], shape) if self.start.noise is None else self.start.noise[i]

    def batch(self, step: int, shape: Sequence[int]) -> NDArray[np.float32]:
        """The noise of all images (n, ...) of a step, 0 the first state's."""
        return np.concatenate([self.noise(i, shape)(step) for i in range(len(self.seeds))])

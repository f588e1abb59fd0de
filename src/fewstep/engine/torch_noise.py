"""The numbers that diffusers' pipelines draw on a CPU, for pictures that equal theirs.

A pipeline with a list of generators draws for each image alone: the first latents, then in each step that draws at all
the step's noise, whatever it is multiplied by (spec of each scheduler's `step`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.noise import Noise
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.errors import MissingDependencyError

RNGS = ("fewstep", "torch")


def torch_stream(seed: int, shape: Sequence[int], schedule: Schedule | GuidedSchedule) -> Noise:
    """Of one image of torch.Generator().manual_seed(seed), float32.

    Raises MissingDependencyError without torch.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("rng torch needs torch; pip install torch, or choose rng fewstep") from error
    table = schedule if isinstance(schedule, Schedule) else schedule.schedule
    generator = torch.Generator().manual_seed(seed)
    drawn = {
        step: torch.randn((1, *shape), generator=generator).numpy()
        for step, is_drawn in enumerate((1, *table.draws))
        if is_drawn
    }

    def noise(step: int) -> NDArray[np.float32]:
        made: NDArray[np.float32] = drawn[step]
        return made

    return noise

"""The numbers that diffusers' pipelines draw on a CPU, for pictures that equal theirs.

A pipeline with a list of generators draws for each image alone: the first latents, then in each step that draws at all
the step's noise, whatever it is multiplied by (spec of each scheduler's `step`). One that changes a picture draws where
in the encoder's distribution its latents lie, before the first noise; one that inpaints does so again after it, for the
masked picture, whose latents a network without channels for them is not shown.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.noise import Noise
from fewstep.engine.table import GuidedSchedule, Schedule
from fewstep.errors import MissingDependencyError

RNGS = ("fewstep", "torch")
ENCODED = -1  # the step of the noise that a picture's latents are drawn with
UNUSED = -2


def torch_stream(
    seed: int,
    shape: Sequence[int],
    schedule: Schedule | GuidedSchedule,
    *,
    first: int = 0,
    encoded: bool = False,
    masked: bool = False,
) -> Noise:
    """Of one image of torch.Generator().manual_seed(seed), float32.

    first: the row that the loop begins with. encoded: whether an encoder's distribution is drawn from; masked: whether
    it is a second time. Raises MissingDependencyError without torch.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("rng torch needs torch; pip install torch, or choose rng fewstep") from error
    table = schedule if isinstance(schedule, Schedule) else schedule.schedule
    generator = torch.Generator().manual_seed(seed)
    before = [ENCODED] if encoded else []
    after = [UNUSED] if masked else []
    steps = [i + 1 for i in range(first, len(table)) if table.draws[i]]
    drawn = {step: torch.randn((1, *shape), generator=generator).numpy() for step in (*before, 0, *after, *steps)}

    def noise(step: int) -> NDArray[np.float32]:
        made: NDArray[np.float32] = drawn[step]
        return made

    return noise

"""The scale of a state beside what a decoder is given."""

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.bundle_manifest import LatentSpec


def as_state(latents: NDArray[np.float32], scaling: LatentSpec) -> NDArray[np.float32]:
    """A decoder's latents, or pixels where there is none, as a state."""
    return (latents - np.float32(scaling.shift_factor)) * np.float32(scaling.scaling_factor)

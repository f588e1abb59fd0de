"""Unit normal noise as a counter-based stream: element e of (seed, step) is the same number in any batch or slice.

Philox 4x32-10 (Salmon et al., SC 2011) and Box-Muller, computed by the compiled runtime (runtime/include/fewstep/noise.h).
Step 0 is the initial noise, step i + 1 the fresh noise z_i of loop step i.
"""

import secrets
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewstep import _runtime
from fewstep.errors import InputError

SEEDS = 2**64
STEPS = 2**32


def checked_int(name: str, value: object, below: int) -> int:
    """Returns value if it is an int (no bool) in [0, below), else raises InputError naming it."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}")
    if not 0 <= value < below:
        raise InputError(f"{name} must be in 0 to {below - 1}, got {value}")
    return value


def random_seed() -> int:
    """A seed in [0, 2^64) from the operating system."""
    return secrets.randbits(64)


def normal(seeds: Sequence[int], step: int, shape: Sequence[int]) -> NDArray[np.float32]:
    """Returns float32 (len(seeds), *shape), row i from seed i alone.

    seeds: ints in [0, 2^64); step: int in [0, 2^32); shape: that of one image. Raises InputError for anything else.
    """
    if isinstance(seeds, str | bytes) or not isinstance(seeds, Sequence):
        raise InputError(f"seeds must be a sequence of integers, got {seeds!r} of type {type(seeds).__name__}")
    rows = [checked_int(f"seed {i}", seed, SEEDS) for i, seed in enumerate(seeds)]
    sizes = [checked_int(f"size {i} of the shape", size, STEPS) for i, size in enumerate(shape)]
    count = 1
    for size in sizes:
        count *= size
    flat = _runtime.normal(rows, checked_int("step", step, STEPS), checked_int("the shape's element count", count, SEEDS))
    return flat.reshape(len(rows), *sizes)

"""Unit normal noise as a counter-based stream: element e of (seed, step) is the same number in any batch or slice.

Philox 4x32-10 (Salmon et al., SC 2011) and Box-Muller, computed by runtime/include/fewstep/noise.h.
Step 0 is the initial noise, step i + 1 the fresh noise z_i of loop step i.
"""

import math
import secrets
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fewstep import _runtime
from fewstep.engine.checks import refuse, whole

Noise = Callable[[int], NDArray[np.float32]]  # step -> unit noise of one image (1, ...)
MAX_SEED = 2**64 - 1
MAX_STEP = 2**32 - 1
MAX_ELEMENTS = 2**48  # more than any memory holds, and few enough that the runtime's arithmetic cannot wrap


def random_seed() -> int:
    """A seed in [0, 2^64) from the operating system."""
    return secrets.randbits(64)


def normal(seeds: Sequence[int], step: int, shape: Sequence[int]) -> NDArray[np.float32]:
    """Returns float32 (len(seeds), *shape), row i from seed i alone.

    seeds: ints in [0, 2^64); step: int in [0, 2^32); shape: that of one image. Raises InputError for anything else.
    """
    rows = _integers("seeds", seeds, MAX_SEED)
    sizes = _integers("shape", shape, MAX_ELEMENTS)
    count = whole("elements of the shape", math.prod(sizes), 0, MAX_ELEMENTS)
    return _runtime.normal(rows, whole("step", step, 0, MAX_STEP), count).reshape(len(rows), *sizes)


def stream(seed: int, shape: Sequence[int]) -> Noise:
    """The noise of one image by step."""
    return partial(normal, [seed], shape=shape)


def _integers(name: str, values: Sequence[int], high: int) -> list[int]:
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise refuse(name, "a sequence of integers", values)
    return [whole(f"{name}[{i}]", value, 0, high) for i, value in enumerate(values)]

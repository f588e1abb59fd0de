"""The compiled runtime."""

from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


def philox4x32_10(counter: Sequence[int], key: Sequence[int]) -> list[int]:
    """
    The four words that ten rounds of Philox 4x32 make of four counter words and two key words.
    """

def normal(seeds: Sequence[int], step: int, count: int, first: int = 0) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
    """
    Elements first to first + count - 1 of each seed's unit normal stream at a step: float32 (len(seeds), count).
    """

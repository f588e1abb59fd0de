"""Libraries as whoever wants speed would set them, for every peer alike."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def at_their_best() -> Iterator[None]:
    """cuDNN measures which of its kernels is fastest for a shape when it first meets it."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before

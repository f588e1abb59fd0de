"""cuDNN at its best, for our own programs and for whatever they are compared with."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def tuned_convolutions() -> Iterator[None]:
    """cuDNN measures which of its kernels is fastest for a shape when it first meets it, and keeps to that."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before

"""What a kernel must do at least: the bytes it moves and the operations it performs."""

from typing import NamedTuple

from torch import Tensor


class Cost(NamedTuple):
    """bytes: each input read once and each output written once; flop: a multiply-add counts 2."""

    bytes: int
    flop: int


def nbytes(*tensors: Tensor | None) -> int:
    """Bytes of the elements that the tensors address, None counting nothing."""
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)

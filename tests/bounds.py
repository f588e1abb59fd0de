"""Finds reads outside a tensor in Triton's interpreter: on a GPU they may fault, and elsewhere no result shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Ranges = Callable[[], list[tuple[int, int]]]


def check_reads(addresses: Any, ranges: list[tuple[int, int]]) -> None:
    """ranges: begin and end of what may not be read, in bytes, in ascending order and apart."""
    if addresses.size == 0 or not ranges:
        return
    begins, ends = (np.array(side, np.uint64) for side in zip(*ranges, strict=True))
    lowest, highest = addresses.min(), addresses.max()
    if not ((begins <= highest) & (lowest < ends)).any():
        return
    before = np.searchsorted(begins, addresses, side="right").astype(np.int64) - 1
    assert not ((before >= 0) & (addresses < ends[before])).any(), "read out of bounds"


def watch_reads(patch: pytest.MonkeyPatch, ranges: Ranges) -> None:
    """Check every load for the time of a test."""
    from triton.runtime import interpreter

    builder = interpreter.InterpreterBuilder
    load = builder.create_masked_load

    def create_masked_load(self: Any, ptrs: Any, mask: Any, *rest: Any, **options: Any) -> Any:
        check_reads(ptrs.data if mask.data.all() else ptrs.data[mask.data], ranges())
        return load(self, ptrs, mask, *rest, **options)

    patch.setattr(builder, "create_masked_load", create_masked_load)

"""Strided views: what Transpose, Slice, Reshape and their like do to strides, with no byte moved."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

from fewstep.export.lower.program import DTYPES


@dataclass(eq=False)
class Storage:
    """A block of memory that views lie in: a weight of the file by its name, else a buffer. elements: of `type`."""

    type: str
    elements: int
    weight: str | None = None

    @property
    def bytes(self) -> int:
        return self.elements * DTYPES[self.type]


@dataclass(frozen=True)
class View:
    """A value before it has a number: docs/plan.md's, with the storage itself."""

    storage: Storage
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    row: int = 0
    step: int = 0
    type: str = field(default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", self.type or self.storage.type)

    def permuted(self, axes: Sequence[int]) -> "View":
        return replace(self, shape=tuple(self.shape[a] for a in axes), strides=tuple(self.strides[a] for a in axes))

    def sliced(self, axis: int, start: int, size: int, step: int = 1) -> "View":
        shape, strides = list(self.shape), list(self.strides)
        shape[axis], strides[axis] = size, strides[axis] * step
        offset = self.offset + start * self.strides[axis]
        return replace(self, shape=tuple(shape), strides=tuple(strides), offset=offset)

    def expanded(self, shape: Sequence[int]) -> "View":
        """Numpy's broadcasting: axes of 1 and new leading axes repeat."""
        missing = len(shape) - len(self.shape)
        given = zip(self.shape, self.strides, shape[missing:], strict=True)
        kept = [0 if have == 1 != want else stride for have, stride, want in given]
        return replace(self, shape=tuple(shape), strides=(*[0] * missing, *kept))

    def is_at(self, other: "View") -> bool:
        """Whether the two are the same elements at the same addresses; strides of axes of 1 say nothing."""
        steps = [s if n > 1 else 0 for n, s in zip(other.shape, other.strides, strict=True)]
        mine = [s if n > 1 else 0 for n, s in zip(self.shape, self.strides, strict=True)]
        return steps == mine and replace(self, strides=other.strides) == other

    def reshaped(self, shape: Sequence[int]) -> "View | None":
        """The same elements in row-major order as another shape, or None where no strides say so."""
        strides = reshaped_strides(self.shape, self.strides, shape)
        return None if strides is None else replace(self, shape=tuple(shape), strides=strides)


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    return ordered(shape, range(len(shape)))


def ordered(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Strides of a block without holes; order: the axes from the outermost to the innermost."""
    strides, stride = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = stride
        stride *= shape[axis]
    return tuple(strides)


def new_view(type: str, shape: Sequence[int], order: Sequence[int] | None = None) -> View:
    """A view of a storage of its own, row-major unless an order of axes is given."""
    axes = range(len(shape)) if order is None else order
    return View(Storage(type, prod(shape)), tuple(shape), ordered(shape, axes))


def like(view: View) -> View:
    """Another value of the same layout, in a storage of its own."""
    return replace(view, storage=replace(view.storage))


def order_of(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """The axes from the largest stride to the smallest; axes of 1 stay behind the one to their left."""
    keys, outer = list[tuple[float, int]](), float("inf")
    for axis, size in enumerate(shape):
        outer = outer if size == 1 else strides[axis]
        keys.append((-outer, axis))
    return tuple(sorted(range(len(shape)), key=keys.__getitem__))


def reshaped_strides(shape: Sequence[int], strides: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...] | None:
    """Strides of `wanted` over the same elements in the same order; None if they need a copy."""
    if prod(wanted) == 0:
        return row_major(wanted)
    blocks = _blocks(shape, strides)
    out = [0] * len(wanted)
    axis = len(wanted) - 1
    for size, stride in reversed(blocks):
        left = size
        while left > 1:
            if axis < 0 or left % wanted[axis]:
                return None
            out[axis], stride = stride, stride * wanted[axis]
            left //= wanted[axis]
            axis -= 1
        while axis >= 0 and wanted[axis] == 1:
            axis -= 1
    return tuple(_unit_strides(wanted, out))


def _blocks(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Axes joined where they step as one; axes of 1 left out."""
    blocks: list[tuple[int, int]] = []
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if blocks and blocks[-1][1] == size * stride:
            blocks[-1] = (blocks[-1][0] * size, stride)
        else:
            blocks.append((size, stride))
    return blocks


def _unit_strides(shape: Sequence[int], strides: list[int]) -> list[int]:
    """Axes of 1 take the stride that a row-major neighbour would have."""
    inner = 1
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            strides[axis] = inner
        inner = max(inner, strides[axis] * shape[axis])
    return strides

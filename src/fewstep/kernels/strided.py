"""Tensors of one shape and any strides as one walk over their elements, in as few axes as their strides allow."""

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from fewstep.errors import InputError


@triton.jit
def strided_offsets(i, SHAPE: tl.constexpr, STRIDES: tl.constexpr, FIRST: tl.constexpr):
    """int64, of elements i < 2**31 of a shape, with the strides STRIDES[FIRST:]; both from the innermost axis on."""
    offsets = tl.zeros_like(i).to(tl.int64)
    for axis in tl.static_range(len(SHAPE)):
        if axis + 1 < len(SHAPE):
            offsets += (i % SHAPE[axis]).to(tl.int64) * STRIDES[FIRST + axis]
            i = i // SHAPE[axis]
        else:
            offsets += i.to(tl.int64) * STRIDES[FIRST + axis]
    return offsets


def collapse(shape: Sequence[int], *strides: Sequence[int]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """The same elements in the same order with the fewest axes, innermost first, and the strides of each tensor."""
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            continue
        here = [stride[axis] for stride in strides]
        if sizes and all(step[-1] * sizes[-1] == stride for step, stride in zip(steps, here, strict=True)):
            sizes[-1] *= shape[axis]
            continue
        sizes.append(shape[axis])
        for step, stride in zip(steps, here, strict=True):
            step.append(stride)
    if not sizes:
        return (1,), tuple((0,) for _ in strides)
    return tuple(sizes), tuple(map(tuple, steps))


def in_memory_order(y: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """y and the inputs with y's axes from the farthest apart to the nearest: neighbours are written side by side."""
    strides = y.stride()
    order = sorted(range(y.dim()), key=lambda axis: -strides[axis])
    return tuple(x.permute(order) for x in (y, *inputs))


def check_written(name: str, y: Tensor) -> None:
    """Whether each element of an output has its own place, as far as strides of 0 tell."""
    if any(size > 1 and stride == 0 for size, stride in zip(y.shape, y.stride(), strict=True)):
        raise InputError(f"{name}: expected a place for each element, got shape {tuple(y.shape)}, {y.stride()}")

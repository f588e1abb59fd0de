"""GatherND: as an image is enlarged by indexing it, and as rows of a table, by constant or computed indices."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from fewstep.errors import LoweringError
from fewstep.export.lower.match import attribute, producer, required
from fewstep.export.lower.patterns.resize import repeat
from fewstep.export.lower.patterns.views import rows
from fewstep.export.lower.tape import Tape, shape_of

EXACT = 1 << 24  # integers up to which a map computes exactly


def gather_nd(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Each element of the first axes repeated as often; else what the indices name, counted through those axes."""
    if node.op_type != "GatherND" or node.domain:
        return None
    value, constant = required(node, 0), required(node, 1).const_value
    if attribute(node, "batch_dims", 0) != 0:
        raise LoweringError.of(node, "its indices differ for each batch; expected the same ones")
    if constant is None:
        return _computed(node, value, required(node, 1), tape)
    shape, indices = shape_of(value), constant.numpy()
    sizes, rest = shape[: indices.shape[-1]], shape[indices.shape[-1] :]
    if indices.size == 0 or (indices < [-size for size in sizes]).any() or (indices >= sizes).any():
        raise LoweringError.of(node, f"its indices are not all within {sizes}")
    indices = np.where(indices < 0, indices + sizes, indices)
    factors = _factors(indices, sizes)
    if factors is None:
        flat = np.ravel_multi_index(tuple(np.moveaxis(indices, -1, 0)), sizes)
        return rows(_table(value, sizes, tape), tape.constant(np.asarray(flat, np.int64)), tape)
    factors += [1] * len(rest)
    before = producer(value, "Transpose")
    if before is None:
        return repeat(value, factors, tape)
    perm = list(attribute(before, "perm", range(len(shape))[::-1]))
    return tape.transpose(repeat(required(before, 0), [factors[perm.index(i)] for i in range(len(perm))], tape), perm)


def _computed(node: ir.Node, value: ir.Value, indices: ir.Value, tape: Tape) -> ir.Value:
    """Rows of a table of the first axes, counted through those; a negative index counts from the end of its axis."""
    shape, (*counts, named) = shape_of(value), shape_of(indices)
    sizes = shape[:named]
    if prod(sizes) > EXACT:
        raise LoweringError.of(node, f"its indices count to {prod(sizes)}; expected at most {EXACT}")
    row: ir.Value | None = None
    for axis, size in enumerate(sizes):
        index = tape.reshape(tape.slice(indices, len(counts), axis, axis + 1), counts)
        below = tape.node("Less", [index, tape.scalar(0, index)], [tuple(counts)], dtype=ir.DataType.BOOL)[0]
        index = tape.elementwise("Where", below, tape.elementwise("Add", index, tape.scalar(size, index)), index)
        before = None if row is None else tape.elementwise("Mul", row, tape.scalar(size, row))
        row = index if before is None else tape.elementwise("Add", before, index)
    assert row is not None
    return rows(_table(value, sizes, tape), tape.cast(row, ir.DataType.INT64), tape)


def _table(value: ir.Value, sizes: Sequence[int], tape: Tape) -> ir.Value:
    return tape.reshape(value, (prod(sizes), *shape_of(value)[len(sizes) :]))


def _factors(indices: NDArray[Any], sizes: Sequence[int]) -> list[int] | None:
    """How often each element is there, if index i names element i // factor in every axis."""
    counts = indices.shape[:-1]
    if len(counts) != len(sizes) or any(count % size for count, size in zip(counts, sizes, strict=True)):
        return None
    factors = [count // size for count, size in zip(counts, sizes, strict=True)]
    axes = [np.arange(count) // factor for count, factor in zip(counts, factors, strict=True)]
    return factors if np.array_equal(indices, np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)) else None

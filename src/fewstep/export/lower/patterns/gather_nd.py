"""GatherND by constant indices: as an image is enlarged by indexing it, and as rows of a table."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from fewstep.errors import LoweringError
from fewstep.export.lower.match import attribute, producer, required
from fewstep.export.lower.patterns.resize import repeat
from fewstep.export.lower.tape import Tape, shape_of


def gather_nd(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Each element of the first axes repeated as often; else what the indices name, counted through those axes."""
    if node.op_type != "GatherND" or node.domain:
        return None
    value, constant = required(node, 0), required(node, 1).const_value
    if constant is None or attribute(node, "batch_dims", 0) != 0:
        raise LoweringError.of(node, "its indices are computed or differ for each batch; expected constant ones")
    shape, indices = shape_of(value), constant.numpy()
    sizes, rest = shape[: indices.shape[-1]], shape[indices.shape[-1] :]
    if indices.size == 0 or (indices < [-size for size in sizes]).any() or (indices >= sizes).any():
        raise LoweringError.of(node, f"its indices are not all within {sizes}")
    indices = np.where(indices < 0, indices + sizes, indices)
    factors = _factors(indices, sizes)
    if factors is None:
        flat = np.ravel_multi_index(tuple(np.moveaxis(indices, -1, 0)), sizes)
        table = tape.reshape(value, (prod(sizes), *rest))
        return tape.fused("gather", [table, tape.constant(np.asarray(flat, np.int64))], flat.shape + rest)
    factors += [1] * len(rest)
    before = producer(value, "Transpose")
    if before is None:
        return repeat(value, factors, tape)
    perm = list(attribute(before, "perm", range(len(shape))[::-1]))
    return tape.transpose(repeat(required(before, 0), [factors[perm.index(i)] for i in range(len(perm))], tape), perm)


def _factors(indices: NDArray[Any], sizes: Sequence[int]) -> list[int] | None:
    """How often each element is there, if index i names element i // factor in every axis."""
    counts = indices.shape[:-1]
    if len(counts) != len(sizes) or any(count % size for count, size in zip(counts, sizes, strict=True)):
        return None
    factors = [count // size for count, size in zip(counts, sizes, strict=True)]
    axes = [np.arange(count) // factor for count, factor in zip(counts, factors, strict=True)]
    return factors if np.array_equal(indices, np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)) else None

"""ScatterElements of whole slices at constant places: a Concat of them and of what stays."""

import numpy as np
import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.match import attribute, producer, required
from fewstep.export.lower.tape import Tape, shape_of


def scatter(node: ir.Node, tape: Tape) -> ir.Value | None:
    """As a tensor is filled slice by slice, for instance where sequences are padded to a batch."""
    if node.op_type != "ScatterElements" or node.domain:
        return None
    data, indices, updates = (required(node, i) for i in range(3))
    axis = attribute(node, "axis", 0) % len(shape_of(data))
    if attribute(node, "reduction", "none") != "none":
        raise LoweringError.of(node, f"its reduction is {attribute(node, 'reduction')!r}; expected 'none'")
    rows = {place: row for row, place in enumerate(_places(node, indices, shape_of(data), axis))}
    parts: list[tuple[ir.Value, int, int]] = []  # of which value, from where to where
    for place in range(shape_of(data)[axis]):
        value, start = (updates, rows[place]) if place in rows else (data, place)
        if parts and parts[-1][0] is value and parts[-1][2] == start:
            parts[-1] = (value, parts[-1][1], start + 1)
        else:
            parts.append((value, start, start + 1))
    return tape.concat([tape.slice(value, axis, start, end) for value, start, end in parts], axis)


def _places(node: ir.Node, indices: ir.Value, shape: tuple[int, ...], axis: int) -> list[int]:
    """Where along the axis each slice of the updates goes. Raises LoweringError if it is not whole slices that go."""
    repeated = producer(indices, "Expand")
    constant = (indices if repeated is None else required(repeated, 0)).const_value
    own, wanted = shape_of(indices), [*shape]
    wanted[axis] = own[axis]
    if constant is None or list(own) != wanted:
        raise LoweringError.of(node, f"its indices are computed or not of shape {wanted}; expected constant ones")
    places = np.broadcast_to(constant.numpy(), own)
    first = places[tuple(slice(None) if i == axis else slice(0, 1) for i in range(len(shape)))]
    if (places != first).any() or (first < -shape[axis]).any() or (first >= shape[axis]).any():
        raise LoweringError.of(node, f"its indices differ within a slice or are not all within axis {axis} of {shape}")
    return [int(place) % shape[axis] for place in first.reshape(-1)]

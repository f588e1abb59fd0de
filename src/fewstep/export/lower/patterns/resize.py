"""Resize to the nearest pixel by whole factors, and Pad."""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.match import attribute, operand, required, scalar, small_constant
from fewstep.export.lower.tape import Tape, shape_of


def resize(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Each pixel repeated, or each of some number taken."""
    if node.op_type not in ("Resize", "Upsample") or node.domain:
        return None
    x, out = required(node, 0), shape_of(node.outputs[0])
    shape = shape_of(x)
    if shape == out:
        return x
    if attribute(node, "mode", "nearest") != "nearest":
        raise LoweringError.of(node, f"its mode is {attribute(node, 'mode')!r}; expected 'nearest'")
    factors = [after // before for before, after in zip(shape, out, strict=True)]
    if any(before * f != after for before, f, after in zip(shape, factors, out, strict=True)):
        raise LoweringError.of(node, f"from {shape} to {out} is by no whole factors")
    if _sources(node, factors) is None:
        raise LoweringError.of(node, "it does not repeat each pixel as often")
    return repeat(x, factors, tape)


def repeat(x: ir.Value, factors: Sequence[int], tape: Tape) -> ir.Value:
    """Each element of axis i factors[i] times, one after the other."""
    pairs = list(zip(shape_of(x), factors, strict=True))
    sizes = [n for before, f in pairs for n in ((before, f) if f > 1 else (before,))]
    ones = [n for before, f in pairs for n in ((before, 1) if f > 1 else (before,))]
    return tape.reshape(tape.expand(tape.reshape(x, ones), sizes), [before * f for before, f in pairs])


def _sources(node: ir.Node, factors: list[int]) -> bool | None:
    """True if output i reads input i // factor, for every one of a block."""
    mode = attribute(node, "coordinate_transformation_mode", "half_pixel")
    rounding = attribute(node, "nearest_mode", "round_prefer_floor")
    for factor in factors:
        for i in range(factor):
            at = i / factor if mode == "asymmetric" else (i + 0.5) / factor - 0.5
            nearest = {
                "floor": math.floor(at),
                "ceil": math.ceil(at),
                "round_prefer_floor": math.ceil(at - 0.5),
                "round_prefer_ceil": math.floor(at + 0.5),
            }[rounding]
            if mode not in ("asymmetric", "half_pixel", "pytorch_half_pixel") or max(nearest, 0) != 0:
                return None
    return True


def pad(node: ir.Node, tape: Tape) -> ir.Value | None:
    """A constant beside the value, axis by axis; less than nothing is a Slice."""
    if node.op_type != "Pad" or node.domain:
        return None
    x, amounts = required(node, 0), small_constant(operand(node, 1))
    mode = attribute(node, "mode", "constant")
    fill = scalar(operand(node, 2)) if operand(node, 2) is not None else 0.0
    if amounts is None or fill is None:
        raise LoweringError.of(node, "its amounts or its value are not constant")
    rank = len(shape_of(x))
    given = small_constant(operand(node, 3))
    axes = list(range(rank)) if given is None else [int(axis) % rank for axis in given]
    count = len(axes)
    if mode not in ("constant", "edge") and any(amounts):
        raise LoweringError.of(node, f"its mode is {mode!r}; expected 'constant' or 'edge'")
    for axis, low, high in zip(axes, amounts[:count].tolist(), amounts[count:].tolist(), strict=True):
        size = shape_of(x)[axis]
        if low < 0 or high < 0:
            x = tape.slice(x, axis, max(0, -low), size + min(0, high))
        parts = [_margin(x, axis, low, 0, mode, fill, tape), x, _margin(x, axis, high, -1, mode, fill, tape)]
        present = [part for part in parts if part is not None]
        x = tape.concat(present, axis) if len(present) > 1 else x
    return x


def _margin(x: ir.Value, axis: int, count: int, edge: int, mode: str, fill: float, tape: Tape) -> ir.Value | None:
    if count <= 0:
        return None
    shape = list(shape_of(x))
    at = edge % shape[axis]
    shape[axis] = count
    if mode == "edge":
        return tape.expand(tape.slice(x, axis, at, at + 1), shape)
    return tape.expand(tape.constant(np.full((1,) * len(shape), fill), x), shape)

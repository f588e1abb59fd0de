"""In which order the axes of a value lie in memory: the one that its users read with the fewest copies."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from fewstep.export.lower.maps import Map
from fewstep.export.lower.view_ops import VIEW_OPS, shape_of, view_of
from fewstep.export.lower.views import View, new_view, order_of

DEPTH = 4  # maps and concatenations that a choice looks through
IMAGES = {"conv2d", "group_norm"}
ROWS = {"layer_norm", "rms_norm", "softmax", "reduce"}
Order = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """maps: as find_maps gives them, by the nodes they compute."""

    maps: Mapping[ir.Node, Map | None]
    readers: Mapping[ir.Value, Sequence[Map]]

    def choose(self, value: ir.Value, operands: Iterable[View] = ()) -> Order:
        """operands: what a map reads; it costs least where they have its order."""
        shape = shape_of(value)
        whole = [
            order_of(view.shape, view.strides) for view in operands if view.shape == shape and 0 not in view.strides
        ]
        costs: dict[Order, float] = {}
        for order in dict.fromkeys([*whole, *_orders(len(shape))]):
            view = new_view("f32", shape, order)
            mismatches = sum(new_view("f32", shape, other).strides != view.strides for other in whole)
            producer = value.producer()
            at_home = producer is None or _suits(producer.op_type, view)
            costs[order] = self._cost(value, view, DEPTH) + prod(shape) / 4 * (mismatches + (not at_home))
        return min(costs, key=costs.__getitem__)

    def _cost(self, value: ir.Value, view: View, depth: int) -> float:
        """Elements that the users of the value have to move or to gather if it lies as `view` does."""
        if depth == 0:
            return 0
        total, size = 0.0, prod(view.shape)
        for user, index in value.uses():
            if user.op_type in VIEW_OPS:
                for output in user.outputs:
                    seen = view_of(user, view, output)
                    total += size if seen is None else self._cost(output, seen, depth)
            elif user.op_type == "Concat":
                total += self._cost_of_same(user.outputs[0], view, depth - 1)
            elif user not in self.maps:
                total += size * _penalty(user.op_type, index, view)
        for reader in self.readers.get(value, ()):
            total += self._cost_of_same(reader.output, view, depth - 1)
        return total

    def _cost_of_same(self, value: ir.Value, view: View, depth: int) -> float:
        """As if the value had the order of `view`, of which it is made."""
        shape = shape_of(value)
        if len(shape) != len(view.shape):
            return 0
        return self._cost(value, new_view("f32", shape, order_of(view.shape, view.strides)), depth)


def readers_of(maps: Iterable[Map | None]) -> dict[ir.Value, list[Map]]:
    readers: dict[ir.Value, list[Map]] = {}
    for found in maps:
        for operand in () if found is None else found.operands:
            assert found is not None
            readers.setdefault(operand, []).append(found)
    return readers


def _orders(rank: int) -> list[Order]:
    """Row-major, channels innermost, and heads inside of tokens."""
    orders = [tuple(range(rank))]
    if rank >= 3:
        orders.append((0, *range(2, rank), 1))
    if rank == 4:
        orders.append((0, 2, 1, 3))
    return orders


def _suits(kind: str, view: View) -> bool:
    """Whether an operation writes this order without scattering."""
    if kind in IMAGES and len(view.shape) > 2:
        return _steps_by_one(view, 1)
    return not view.shape or _steps_by_one(view, -1) or kind not in {*ROWS, "matmul", "attention", "gather"}


def _penalty(kind: str, index: int, view: View) -> float:
    """Of an operation that reads the view as its input `index`: what share of it is read against the grain."""
    if kind in IMAGES and index == 0 and len(view.shape) > 2:
        return 0.0 if _steps_by_one(view, 1) else 1.0
    if kind in ROWS and index == 0:
        return 0.0 if _steps_by_one(view, -1) else 1.0
    if kind == "attention" and index < 3:
        return 0.0 if _steps_by_one(view, -1) else 1.0
    if kind == "matmul" and index < 2:
        return 0.0 if _steps_by_one(view, -1) or _steps_by_one(view, -2) else 1.0
    return 0.0


def _steps_by_one(view: View, axis: int) -> bool:
    return view.shape[axis] == 1 or view.strides[axis] == 1

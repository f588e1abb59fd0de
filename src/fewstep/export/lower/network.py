"""A fused graph becomes operations on views: views move nothing, and what can be written in its place is."""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.angles import angles
from fewstep.export.lower.draft import DEFAULTS, Draft, complete, copy
from fewstep.export.lower.layout import Layout, readers_of
from fewstep.export.lower.maps import Map, find_maps
from fewstep.export.lower.operands import fitted
from fewstep.export.lower.precision import Types
from fewstep.export.lower.view_ops import VIEW_OPS, concat_axis, shape_of, source_of, view_of
from fewstep.export.lower.views import Storage, View, new_view, order_of, row_major
from fewstep.export.lower.weights import FLOATS, Weight, WeightFile, type_of, weight_of


@dataclass(frozen=True)
class Lowered:
    """inputs, outputs: where each of the graph's lies."""

    ops: tuple[Draft, ...]
    inputs: Mapping[str, View]
    outputs: Mapping[str, View]


def lower_network(graph: ir.Graph, inputs: Mapping[str, View], file: WeightFile, types: Types) -> Lowered:
    """inputs: where inputs of the graph lie; others are float32 of their own, as suits their users.

    Raises LoweringError.
    """
    lowering = _Lowering(graph, inputs, file, types)
    for node in graph:
        lowering.lower(node)
    return Lowered(
        tuple(lowering.ops),
        {str(value.name): lowering.view(value) for value in graph.inputs},
        {str(value.name): lowering.view(value) for value in graph.outputs},
    )


class _Lowering:
    def __init__(self, graph: ir.Graph, inputs: Mapping[str, View], file: WeightFile, types: Types) -> None:
        self.ops: list[Draft] = []
        self._file, self._types = file, types
        self._maps = find_maps(graph)
        self._layout = Layout(self._maps, readers_of(self._maps.values()))
        self._leaving, self._angles = _left_by(graph), angles(graph)
        self._cast: dict[View, View] = {}
        self._replaced = {view.storage.weight for view in inputs.values()}  # weights whose values may change
        self._views = {
            value: inputs[str(value.name)]
            if value.name in inputs
            else new_view(type_of(value), shape_of(value), self._layout.choose(value))
            for value in graph.inputs
        }

    def lower(self, node: ir.Node) -> None:
        if node in self._maps:
            found = self._maps[node]
            if found is not None:
                self._map(node, found)
        elif node.op_type in VIEW_OPS:
            self._look(node)
        elif node.op_type == "Concat":
            self._join(node)
        elif node.op_type in DEFAULTS:
            self._call(node)
        else:
            raise LoweringError(
                f"node {node.name}: operation {node.op_type} has no place in a plan; the backend onnxruntime runs it"
            )

    def view(self, value: ir.Value) -> View:
        if value not in self._views:
            if value.const_value is None:
                raise LoweringError(f"value {value.name}: is used before it is made")
            self._views[value] = self._stored(str(value.name), weight_of(value), value in self._angles)
        return self._views[value]

    def _stored(self, name: str, weight: Weight, is_angle: bool = False) -> View:
        if weight.type in FLOATS and not is_angle:
            fits = weight.fits(self._types.weights)
            weight = weight.cast(self._types.weights if fits else "f32")
            self._file.wide += [] if fits else [name]
        stored = self._file.add(name, weight)
        storage = Storage(weight.type, weight.elements, stored)
        return View(storage, weight.shape, row_major(weight.shape))

    def _type(self, value: ir.Value) -> str:
        type = type_of(value)
        if type not in FLOATS:
            return type
        if value in self._angles:
            return "f32"
        return self._types.outputs if value in self._leaving else self._types.values

    def _look(self, node: ir.Node) -> None:
        (value, *_) = node.inputs
        assert value is not None
        source = self.view(value)
        for output in node.outputs:
            self._views[output] = view_of(node, source, output) or self._moved(node, source, output)

    def _moved(self, node: ir.Node, source: View, output: ir.Value) -> View:
        """A reshape that no strides can say: written in the shape it had, read in the one it takes."""
        target = self._new(output)
        before = source_of(node, target)
        if before is None:
            target = new_view(target.type, shape_of(output))
            before = source_of(node, target)
        assert before is not None
        if source.storage.weight is not None:
            return self._reshaped_weight(source, output)
        self.ops.append(copy(str(node.name), source, before))
        return target

    def _reshaped_weight(self, source: View, output: ir.Value) -> View:
        assert source.storage.weight is not None and source.storage.weight not in self._replaced
        weight = self._file.weights[source.storage.weight]
        moved = weight.seen(source.shape, source.strides, source.offset, shape_of(output))
        return self._stored(f"{output.name}", moved)

    def _new(self, value: ir.Value, operands: tuple[View, ...] = ()) -> View:
        """Where a value that is computed will lie."""
        place = self._place(value, self._type(value))
        if place is not None:
            return place
        return new_view(self._type(value), shape_of(value), self._layout.choose(value, operands))

    def _place(self, value: ir.Value, type: str) -> View | None:
        """Inside of the concatenation, or at the output, that the value goes to through views, if it can be there."""
        for user, index in value.uses():
            target = None
            if user.op_type == "Concat":
                whole = self._concat(user)
                target = self._slot(user, whole, index) if whole.type == type else None
            elif user.op_type in VIEW_OPS and len(user.outputs) == 1:
                after = self._place(user.outputs[0], type)
                target = None if after is None else source_of(user, after)
            if target is not None:
                return target
        return None

    def _concat(self, node: ir.Node) -> View:
        output = node.outputs[0]
        if output not in self._views:
            self._views[output] = self._new(output)
        return self._views[output]

    def _slot(self, node: ir.Node, whole: View, index: int) -> View:
        axis = concat_axis(node)
        sizes = [shape_of(value)[axis] for value in node.inputs if value is not None]
        return whole.sliced(axis, sum(sizes[:index]), sizes[index])

    def _join(self, node: ir.Node) -> None:
        whole = self._concat(node)
        for index, value in enumerate(node.inputs):
            assert value is not None
            slot = self._slot(node, whole, index)
            if not self.view(value).is_at(slot):
                self.ops.append(copy(f"{node.name}.{index}", self.view(value), slot))

    def _map(self, node: ir.Node, found: Map) -> None:
        shape = shape_of(found.output)
        operands = tuple(self.view(value).expanded(shape) for value in found.operands)
        target = self._new(found.output, operands)
        self.ops.append(Draft("map", str(node.name), operands, (target,), {"code": list(found.code)}))
        self._views[found.output] = target

    def _call(self, node: ir.Node) -> None:
        outputs = tuple(self._new(value) for value in node.outputs)
        given = [None if value is None else self._typed(self.view(value)) for value in node.inputs]
        attributes = complete(node.op_type, str(node.name), {key: a.value for key, a in node.attributes.items()})
        draft = Draft(node.op_type, str(node.name), tuple(given), outputs, attributes)
        self.ops.append(fitted(draft))
        self._views |= dict(zip(node.outputs, outputs, strict=True))

    def _typed(self, view: View) -> View:
        """A float of another type than the stage's, written once more in that."""
        if view.storage.weight is not None or view.type not in FLOATS or view.type == self._types.values:
            return view
        if view not in self._cast:
            target = new_view(self._types.values, view.shape, order_of(view.shape, view.strides))
            self.ops.append(copy("cast", view, target))
            self._cast[view] = target
        return self._cast[view]


def _left_by(graph: ir.Graph) -> set[ir.Value]:
    """The outputs, and what they are views of."""
    found: set[ir.Value] = set()
    for value in graph.outputs:
        found.add(value)
        node = value.producer()
        while node is not None and node.op_type in VIEW_OPS and node.inputs[0] is not None:
            found.add(node.inputs[0])
            node = node.inputs[0].producer()
    return found

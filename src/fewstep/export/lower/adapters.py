"""Low-rank updates that a plan leaves open (arXiv:2106.09685): beside y = W x of a module there is up (down x), by
tensors that are zeros until a caller replaces them.

They are inputs of the graph, so that nothing is computed of their values, and weights where the plan has them.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.match import attribute, required
from fewstep.export.lower.tape import Shape, shape_of
from fewstep.export.lower.views import Storage, View, row_major
from fewstep.export.lower.weights import NUMPY, Weight, WeightFile
from fewstep.export.tidy import TRANSPOSED

ROLES = ("unet.", "transformer.")  # what the names of a denoiser's weights begin with
WEIGHT, BIAS = ".weight", ".bias"
PREFIX = "lora."  # of tensors: they lie side by side, as a plan's weights are in the order of their names
CONVOLUTION = ("strides", "pads", "dilations", "auto_pad")


@dataclass(frozen=True)
class Product:
    """module: its name with the network's role. shape: of its weight, (O, I) or (O, I, kH, kW)."""

    node: ir.Node
    module: str
    shape: Shape


def modules_of(graph: ir.Graph) -> dict[str, Shape]:
    """The shapes of the weights that a LoRA can update, by module: of linear layers and ungrouped 2D convolutions."""
    return {product.module: product.shape for product in _products(graph)}


def _products(graph: ir.Graph) -> Iterator[Product]:
    for node in graph:
        if node.domain or node.op_type not in ("MatMul", "Gemm", "Conv"):
            continue
        weight, turns = required(node, 1), 0
        while (before := weight.producer()) is not None and before.op_type in ("Cast", "Transpose"):
            turns += before.op_type == "Transpose"
            weight = required(before, 0)
        name = str(weight.name)
        if before is not None or not name.startswith(ROLES) or not weight.is_initializer():
            continue
        stored, shape = name.removesuffix(TRANSPOSED), shape_of(weight)
        if not stored.endswith(WEIGHT):
            continue
        module = stored.removesuffix(WEIGHT)
        turns += (stored != name) + bool(attribute(node, "transB", 0))
        if node.op_type == "Conv" and len(shape) == 4 and not turns and attribute(node, "group", 1) == 1:
            yield Product(node, module, shape)
        elif node.op_type != "Conv" and len(shape) == 2 and turns % 2 and not attribute(node, "transA", 0):
            yield Product(node, module, shape[::-1] if stored != name else shape)


class Adapters:
    """The open updates of a program's targets. targets: some of `modules`, with the network's role. rank: of all."""

    def __init__(self, modules: Mapping[str, Shape], targets: Collection[str], rank: int, file: WeightFile) -> None:
        self._modules, self._targets, self._rank, self._file = modules, frozenset(targets), rank, file
        self._views: dict[str, View] = {}

    def add(self, part: ir.Model, type: str) -> tuple[ir.Model, Mapping[str, View]]:
        """A copy of a network's part with the updates of the targets in it, and where its new inputs lie.

        type: of weights where the part runs.
        """
        if not any(product.module in self._targets for product in _products(part.graph)):
            return part, {}
        part = part.clone()
        views: dict[str, View] = {}
        for product in [product for product in _products(part.graph) if product.module in self._targets]:
            down, up = (self._input(part.graph, product, name, type, views) for name in ("down", "up"))
            _add(part.graph, product, down, up)
        return part, views

    def _input(self, graph: ir.Graph, product: Product, factor: str, type: str, views: dict[str, View]) -> ir.Value:
        """The graph's input for a factor, one for all products of the module."""
        name = tensor_name(product.module, factor)
        if name not in views:
            shape = factor_shape(product.shape, self._rank, factor)
            views[name] = self._view(name, shape, type)
            graph.inputs.append(ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT)))
        return next(value for value in graph.inputs if value.name == name)

    def _view(self, name: str, shape: Shape, type: str) -> View:
        if name not in self._views:
            weight = Weight(type, shape, lambda: np.zeros(shape, NUMPY[type]))
            self._file.weights[name] = weight  # not by WeightFile.add, for which all zeros are one
            self._views[name] = View(Storage(type, weight.elements, name), shape, row_major(shape))
        if self._views[name].type != type:
            raise LoweringError(f"{name}: is of two stages, one of {self._views[name].type} and one of {type}")
        return self._views[name]

    def described(self) -> dict[str, Any]:
        """What docs/plan.md calls adapters. Raises LoweringError for a target that no stage has."""
        tensors = {
            module: {factor: tensor_name(module, factor) for factor in ("down", "up")}
            for module in sorted(self._targets)
        }
        if missing := [module for module, of in tensors.items() if not self._views.keys() >= {*of.values()}]:
            raise LoweringError(f"{missing[0]}: is in no stage of the plan; choose other targets")
        modules = {module: list(shape) for module, shape in sorted(self._modules.items())}
        return {"rank": self._rank, "modules": modules, "targets": tensors}


def tensor_name(module: str, factor: str) -> str:
    return f"{PREFIX}{module}.{factor}"


def factor_shape(weight: Shape, rank: int, factor: str) -> Shape:
    """down: (r, I) or (r, kH, kW, I), the order in which GPUs read it; up: (O, r)."""
    return (weight[0], rank) if factor == "up" else (rank, *weight[2:], weight[1])


def _add(graph: ir.Graph, product: Product, down: ir.Value, up: ir.Value) -> None:
    """y + up (down x), where y has its bias already: then the rules that fuse the product find it as it was."""
    last, node, name = product.node, product.node, str(product.node.name)
    following = last.outputs[0].consumers()
    if len(following) == 1 and following[0].op_type == "Add" and not last.outputs[0].is_graph_output():
        other = next((value for value in following[0].inputs if value is not last.outputs[0]), None)
        if other is not None and other.name == f"{product.module}{BIAS}":
            last = following[0]
    y = last.outputs[0]
    x = required(node, 0)
    tape = _Nodes(f"{name}.lora")
    if node.op_type == "Conv":
        turned = tape.node("Transpose", [down], perm=[0, 3, 1, 2])
        shared = {key: node.attributes[key].value for key in CONVOLUTION if key in node.attributes}
        pixel = tape.node("Unsqueeze", [up, _axes(graph, f"{up.name}.axes", [2, 3])])
        update = tape.node("Conv", [tape.node("Conv", [x, turned], **shared), pixel])
    else:
        narrow = tape.node("MatMul", [x, tape.node("Transpose", [down], perm=[1, 0])])
        update = tape.node("MatMul", [narrow, tape.node("Transpose", [up], perm=[1, 0])])
    total = ir.Value(name=f"{y.name}.lora", shape=y.shape, type=y.type)
    users = [(user, index) for user, index in y.uses()]
    tape.nodes.append(ir.Node("", "Add", [update, y], outputs=[total], name=tape.name))
    if y.is_graph_output():
        graph.outputs[list(graph.outputs).index(y)] = total
        y.name, total.name = f"{y.name}.base", y.name
    for user, index in users:
        user.replace_input_with(index, total)
    graph.insert_after(last, tape.nodes)


def _axes(graph: ir.Graph, name: str, axes: list[int]) -> ir.Value:
    tensor = ir.tensor(axes, ir.DataType.INT64)
    value = ir.Value(name=name, shape=ir.Shape([len(axes)]), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


class _Nodes:
    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[ir.Node] = []

    def node(self, op_type: str, inputs: list[ir.Value], **attributes: Any) -> ir.Value:
        made = [ir.convenience.convert_attribute(key, value) for key, value in attributes.items()]
        self.nodes.append(ir.Node("", op_type, inputs, made, name=self.name))
        value = self.nodes[-1].outputs[0]
        value.name = f"{self.name}.{len(self.nodes)}"
        return value

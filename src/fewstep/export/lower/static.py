"""A graph whose every shape is known: sizes bound, functions and decided branches inlined, constants computed."""

from collections import deque
from collections.abc import Mapping
from math import prod

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes

from fewstep.errors import LoweringError
from fewstep.export.lower.constants import evaluate, is_worth_it, lazy_cast
from fewstep.export.lower.match import attribute
from fewstep.export.lower.tape import dtype_of, shape_of

# What their schemas infer depends on the release of onnx, which also refuses the first GroupNormalization.
LIKE_THE_FIRST = {"GroupNormalization", "RMSNormalization", "Swish", "Gelu", "Mish"}
VIEWS = {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Expand", "Identity", "Flatten"}
SHAPES = 64  # elements of a constant that may be a shape, an axis or a bound


def make_static(model: ir.Model, sizes: Mapping[str, int]) -> ir.Model:
    """The model with its symbolic sizes bound and everything computed that needs no input; `model` stays as it is.

    A view of a large constant stays a node. Raises LoweringError for a size that is not given and for a shape that
    depends on values.
    """
    model = model.clone()
    passes.InlinePass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    passes.LiftSubgraphInitializersToMainGraphPass()(model)
    passes.RemoveInitializersFromInputsPass()(model)
    for value in model.graph.inputs:
        value.shape = _bound(value, sizes)
    _propagate(model.graph)
    return model


def _bound(value: ir.Value, sizes: Mapping[str, int]) -> ir.Shape:
    if value.shape is None:
        raise LoweringError(f"input {value.name}: its rank is not known; a plan needs every size")
    bound = []
    for size in value.shape:
        known = size if isinstance(size, int) else sizes.get(str(size.value))
        if known is None:
            raise LoweringError(f"input {value.name}: size {size} is not given; expected it among {sorted(sizes)}")
        bound.append(known)
    return ir.Shape(bound)


def _propagate(graph: ir.Graph) -> None:
    """Shapes and constants, from the inputs on. known: constants that stay nodes because they only view another."""
    known: dict[ir.Value, ir.TensorProtocol] = {}
    pending = deque(graph)
    while pending:
        node = pending.popleft()
        if node.op_type == "If" and not node.domain:
            pending.extendleft(reversed(_inline_branch(graph, node)))
            continue
        if node.op_type in ("Shape", "Size") and not node.domain and (value := node.inputs[0]) is not None:
            _become_constant(graph, node, [_measured(node, value)])
            continue
        _infer(node, graph.opset_imports)
        inputs = [None if value is None else known.get(value, value.const_value) for value in node.inputs]
        if any(value is not None and tensor is None for value, tensor in zip(node.inputs, inputs, strict=True)):
            continue
        if not is_worth_it(node, inputs):
            continue
        if node.op_type == "Cast" and not node.domain and inputs[0] is not None:
            tensors = [lazy_cast(inputs[0], dtype_of(node.outputs[0]))]
        else:
            tensors = evaluate(node, inputs, graph.opset_imports)
        if node.op_type in VIEWS and any(tensor.size > SHAPES * SHAPES for tensor in tensors):
            known.update(zip(node.outputs, tensors, strict=True))
        else:
            _become_constant(graph, node, tensors)


def _measured(node: ir.Node, value: ir.Value) -> ir.TensorProtocol:
    shape = shape_of(value)
    if node.op_type == "Size":
        return ir.tensor(prod(shape), ir.DataType.INT64)
    return ir.tensor(shape[attribute(node, "start", 0) : attribute(node, "end")], ir.DataType.INT64)


def _inline_branch(graph: ir.Graph, node: ir.Node) -> list[ir.Node]:
    """The branch that a constant condition takes, in the node's place."""
    condition = node.inputs[0]
    if condition is None or condition.const_value is None:
        raise LoweringError.of(node, "its condition depends on the inputs")
    taken = bool(condition.const_value.numpy().reshape(()))
    branch = node.attributes["then_branch" if taken else "else_branch"].as_graph()
    moved = list(branch)
    outputs = list(branch.outputs)
    branch.outputs.clear()
    branch.remove(moved)
    graph.insert_before(node, moved)
    ir.convenience.replace_all_uses_with(node.outputs, outputs, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return moved


def _become_constant(graph: ir.Graph, node: ir.Node, tensors: list[ir.TensorProtocol]) -> None:
    for value, tensor in zip(node.outputs, tensors, strict=True):
        shape, type_ = ir.Shape(tensor.shape.numpy()), ir.TensorType(tensor.dtype)
        constant = ir.Value(name=value.name, shape=shape, type=type_, const_value=tensor)
        if value.is_graph_output():
            constant.name = f"{value.name}.constant"
            copied = ir.Value(name=value.name, shape=shape, type=type_)
            graph.insert_before(node, ir.Node("", "Identity", [constant], outputs=[copied]))
            ir.convenience.replace_all_uses_with(value, copied, replace_graph_outputs=True)
        else:
            ir.convenience.replace_all_uses_with(value, constant)
        graph.register_initializer(constant)
        value.name = None
    graph.remove(node, safe=True)


def _infer(node: ir.Node, opsets: Mapping[str, int]) -> None:
    """The shapes and types of its outputs."""
    version = opsets.get(node.domain)
    if version is None or not onnx.defs.has(node.op_type, version, node.domain):
        raise LoweringError.of(node, f"it is no operation of ONNX {opsets.get('', '')}")
    if any(isinstance(a.value, ir.Graph) for a in node.attributes.values()):
        raise LoweringError.of(node, "its number of turns is not known")
    inputs = [value for value in node.inputs if value is not None]
    if node.op_type in LIKE_THE_FIRST and not node.domain:
        for value in node.outputs:
            value.shape, value.type = ir.Shape(shape_of(inputs[0])), inputs[0].type
        return
    schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    types = {str(value.name): _type(value) for value in inputs}
    data = {str(v.name): ir.serde.serialize_tensor(v.const_value) for v in inputs if _may_be_shape(v) and v.const_value}
    for name, tensor in data.items():
        tensor.name = name
    imports = [onnx.helper.make_opsetid(domain, number) for domain, number in opsets.items()]
    proto = ir.serde.serialize_node(node)
    try:
        found = onnx.shape_inference.infer_node_outputs(schema, proto, types, data, opset_imports=imports)
    except onnx.shape_inference.InferenceError as error:
        raise LoweringError.of(node, f"its shape cannot be inferred ({str(error).splitlines()[0]})") from error
    for value in node.outputs:
        known = found.get(str(value.name))
        if known is not None and known.tensor_type.HasField("shape"):
            sizes = [size.dim_value if size.HasField("dim_value") else None for size in known.tensor_type.shape.dim]
            value.type = ir.TensorType(ir.DataType(known.tensor_type.elem_type))
        else:
            sizes = [None]
        if None in sizes and (value.uses() or value.is_graph_output()):
            raise LoweringError.of(node, "the shape of its result depends on values")
        value.shape = ir.Shape(sizes)


def _may_be_shape(value: ir.Value) -> bool:
    return value.shape is not None and prod(shape_of(value)) <= SHAPES


def _type(value: ir.Value) -> onnx.TypeProto:
    return onnx.helper.make_tensor_type_proto(dtype_of(value).value, shape_of(value))

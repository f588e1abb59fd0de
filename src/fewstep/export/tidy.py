"""A traced graph without what tracing leaves behind, by the passes of onnxscript that keep every number."""

from collections.abc import Callable, Mapping

import onnx_ir as ir
import onnx_ir.passes.common as passes
import torch
from onnx_ir.tensor_adapters import TorchTensor
from onnxscript import optimizer, rewriter
from onnxscript.rewriter import onnx_fusions
from onnxscript.rewriter.rules import common
from torch import Tensor

ROUNDS = 3
TRANSPOSED = ".transposed"  # ends the name of a weight that lies the other way round
UNREAD = 1 << 16  # elements of a weight from which no pass here reads its values; they may not be there yet
# By PyTorch where they are constant: numpy's are off by an ulp, which a time of 999 makes an angle's ten-thousandth.
CURVES: Mapping[str, Callable[..., Tensor]] = {"Exp": torch.exp, "Pow": torch.pow, "Sin": torch.sin, "Cos": torch.cos}
# onnxscript's own, in its order, without those for x + 0, x - 0, x * 1 and x / 1: they take a number within 1e-8 of 0
# for 0, so that x / (sum + 1e-15) is NaN where the sum is 0. And without the one that makes two slices a split: it goes
# through all of the graph for every node of it.
RULES = (
    common.dropout_zero_rule,
    common.dropout_inference_rule,
    common.two_reshapes_matmul_reshape_rule,
    common.one_reshape_matmul_reshape_rule,
    common.cast_constant_of_shape_rule,
    common.cast_constant_of_shape_without_value_rule,
    common.collapse_slice_rule,
    common.collapse_slice2_rule,
    common.materialize_reshape_shape_rule,
    common.min_min_rule,
    common.max_max_rule,
    common.min_max_rule,
    common.max_min_rule,
    common.successive_clip_relu_rule,
    common.successive_relu_clip_rule,
    common.successive_relu_rule,
    common.successive_clip_rule,
    common.cast_cast_rule,
    common.no_op_cast_rule,
    common.no_op_expand_rule,
    common.flatten_to_reshape_rule,
    common.reshape_reshape_rule,
    common.no_op_transpose_rule,
    common.transpose_transpose_rule,
    common.unsqueeze_unsqueeze_rule,
    common.squeeze_reshape_1d_rule,
    common.no_op_dynamic_scatter_nd_rule,
    common.no_op_static_scatter_nd_rule,
    common.normalize_pad_format_conv_rule,
    common.fuse_pad_into_conv_rule,
    common.fuse_batchnorm_into_conv_rule,
    common.fuse_batchnorm_into_conv_transpose_rule,
    common.fuse_batchnorm_into_gemm_rule,
    common.remove_optional_bias_from_conv_rule,
    common.remove_optional_bias_from_conv_transpose_rule,
    common.remove_optional_bias_from_gemm_rule,
)


def tidy(model: ir.Model) -> None:
    """Constants folded, shapes and casts without effect gone, opset 23's operations formed; in place."""
    passes.InlinePass()(model)
    _name_transposed(model.graph)
    for _ in range(ROUNDS):
        optimizer.fold_constants_ir(model, onnx_shape_inference=True, should_fold=_is_left)
        _fold_curves(model.graph)
        _turn_weights(model.graph)
        rewriter.RewritePass(RULES)(model)
        for removal in (passes.RemoveUnusedNodesPass, passes.RemoveUnusedFunctionsPass, passes.RemoveUnusedOpsetsPass):
            removal()(model)
    _widen_masks(model.graph)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    passes.LiftSubgraphInitializersToMainGraphPass()(model)
    passes.DeduplicateInitializersPass()(model)
    passes.CommonSubexpressionEliminationPass()(model)
    passes.OutputFixPass()(model)
    passes.NameFixPass()(model)
    onnx_fusions.fuse(model)


def _name_transposed(graph: ir.Graph) -> None:
    """A weight that is folded the other way round keeps the module's name, by which a LoRA finds it.

    A module that is called several times has one of them for all.
    """
    turned: dict[ir.Value, ir.Value] = {}
    for node in list(graph):
        weight = node.inputs[0] if node.op_type == "Transpose" and not node.domain else None
        if weight is None or not weight.is_initializer() or list(node.attributes.get_ints("perm", [])) != [1, 0]:
            continue
        if weight in turned:
            ir.convenience.replace_all_uses_with(node.outputs[0], turned[weight])
            graph.remove(node, safe=True)
        else:
            turned[weight] = node.outputs[0]
            node.outputs[0].name = f"{weight.name}{TRANSPOSED}"


def _is_left(node: ir.Node) -> bool | None:
    """False for those that are folded here; None leaves it to the optimizer."""
    return False if (node.op_type in CURVES and not node.domain) or _turned(node) is not None else None


def _turned(node: ir.Node) -> Tensor | None:
    """What a Transpose of a large weight of PyTorch makes if nothing else reads that: a view, its values unread."""
    value = node.inputs[0] if node.op_type == "Transpose" and not node.domain else None
    if value is None or len(value.consumers()) > 1 or value.is_graph_input():
        return None
    raw = getattr(value.const_value, "raw", None)
    if not isinstance(raw, Tensor) or raw.numel() < UNREAD:
        return None
    axes = node.attributes["perm"].as_ints() if "perm" in node.attributes else range(raw.dim())[::-1]
    return raw.permute(*axes)


def _turn_weights(graph: ir.Graph) -> None:
    for node in list(graph):
        made = _turned(node)
        if made is not None:
            constant = ir.node("Constant", [], {"value": TorchTensor(made, name=node.outputs[0].name)})
            ir.convenience.replace_nodes_and_values(graph, node, [node], [constant], node.outputs, constant.outputs)


def _fold_curves(graph: ir.Graph) -> None:
    for node in list(graph):
        if node.op_type not in CURVES or node.domain:
            continue
        given = [ir.convenience.get_const_tensor(value) for value in node.inputs if value is not None]
        if any(tensor is None for tensor in given):
            continue
        made = CURVES[node.op_type](*(torch.tensor(tensor.numpy()) for tensor in given if tensor is not None))
        constant = ir.node("Constant", [], {"value": ir.tensor(made.numpy())})
        ir.convenience.replace_nodes_and_values(graph, node, [node], [constant], node.outputs, constant.outputs)


def _widen_masks(graph: ir.Graph) -> None:
    """onnxruntime's Attention takes no mask that is the same for every query."""
    for node in graph:
        q, mask = node.inputs[0] if node.inputs else None, node.inputs[3] if len(node.inputs) > 3 else None
        if node.op_type != "Attention" or mask is None or mask.shape is None or q is None or q.shape is None:
            continue
        N = q.shape[-2]
        if not isinstance(N, int) or mask.shape[-2] == N:
            continue
        size = ir.node("Constant", [], {"value": ir.tensor([N, 1], ir.DataType.INT64)})
        wide = ir.node("Expand", [mask, size.outputs[0]])
        graph.insert_before(node, [size, wide])
        node.replace_input_with(3, wide.outputs[0])

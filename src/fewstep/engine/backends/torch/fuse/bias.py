"""A convolution's bias goes into the embedding of the time that is added after it: one pass over the picture less."""

from typing import Any

from torch.fx import GraphModule

from fewstep.engine.backends.torch.fuse.graph import (
    argument,
    arguments,
    aten,
    calls,
    constant,
    insert_constant,
    is_call,
    is_plain_add,
    only_user,
    other_operand,
)
from fewstep.engine.backends.torch.fuse.report import Report


def move_biases(module: GraphModule, report: Report) -> None:
    """conv(x, W, b) + linear(t, V, c)[:, :, None, None] as conv(x, W) + linear(t, V, b + c)[:, :, None, None]."""
    for node in calls(module.graph, aten.conv2d.default):
        total: Any = only_user(node)
        bias = constant(module, argument(node, 2, "bias"))
        if bias is None or not is_plain_add(total):
            continue
        linear = _per_channel_linear(other_operand(total, node))
        offset = None if linear is None else constant(module, argument(linear, 2, "bias"))
        if linear is None or offset is None or offset.shape != bias.shape or offset.dtype != bias.dtype:
            continue
        joined = insert_constant(module, (bias + offset).detach(), linear)
        linear.args = (*arguments(linear)[:2], joined)
        node.args = (*arguments(node)[:2], None, *arguments(node)[3:])
        report.fuse("bias moved into an embedding")


def _per_channel_linear(embedding: Any) -> Any:
    """The linear layer whose (B, C) is used as (B, C, 1, 1), and as nothing else."""
    node = embedding
    for axis in (3, 2):
        if not is_call(node, aten.unsqueeze.default) or node.args[1] != axis or len(node.users) != 1:
            return None
        node = node.args[0]
    return node if is_call(node, aten.linear.default) and len(node.users) == 1 else None

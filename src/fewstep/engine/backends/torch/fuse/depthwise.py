"""SANA's gated depthwise convolution becomes one kernel: value * silu(gate) of the two halves that it makes."""

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from fewstep.engine.backends.torch.fuse.graph import (
    arguments,
    aten,
    calls,
    constant,
    insert,
    insert_constant,
    is_call,
    only_user,
    other_operand,
    replace,
    shape,
)
from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.kernels.depthwise_conv2d import arrange_depthwise_weight, depthwise_conv2d


def channels_last(x: Tensor) -> Tensor:
    """x: (B, C, H, W) with its channels together; a copy only where they are not so already."""
    return x.contiguous(memory_format=torch.channels_last)


def fuse_depthwise(module: GraphModule, report: Report) -> None:
    for node in calls(module.graph, aten.conv2d.default):
        x, weight_node, *rest = arguments(node)
        defaults: list[Any] = [None, [1, 1], [0, 0], [1, 1], 1]
        bias, stride, padding, dilation, groups = [*rest, *defaults[len(rest) :]]
        weight = constant(module, weight_node)
        settings = [list(v) if isinstance(v, list | tuple) else v for v in (stride, padding, dilation)]
        is_served = weight is not None and groups == shape(x)[1] == shape(node)[1] and weight.shape[2:] == (3, 3)
        if weight is None or not is_served or settings != [[1, 1], [1, 1], [1, 1]]:
            continue
        arranged = insert_constant(module, arrange_depthwise_weight(weight.detach()), node)
        gated = _gated_product(node)
        end = node if gated is None else gated
        pixels = insert(end, channels_last, x, like=x.meta["val"])
        made = insert(end, depthwise_conv2d, pixels, arranged, bias, like=end.meta["val"], gated=gated is not None)
        replace(end, made)
        report.fuse("depthwise_conv2d" + " + gate" * (gated is not None))


def _gated_product(node: Node) -> Node | None:
    """value * silu(gate) with value, gate = node.chunk(2, dim=1), if that is all that becomes of node."""
    chunk: Any = only_user(node)
    if not is_call(chunk, aten.chunk.default) or chunk.args[1:] != (2, 1):
        return None
    halves = {user.args[1]: user for user in chunk.users if is_call(user, operator.getitem)}
    if halves.keys() != {0, 1}:
        return None
    silu = only_user(halves[1])
    product = None if silu is None else only_user(silu)
    if silu is None or product is None or not is_call(silu, aten.silu.default):
        return None
    if not is_call(product, aten.mul.Tensor) or other_operand(product, silu) is not halves[0]:
        return None
    return product if only_user(halves[0]) is product else None

"""ReLU linear attention as SANA and DC-AE write it, in float32 matrices with a row of ones, becomes its kernel."""

import sys
from typing import Any

from torch.fx import GraphModule

from fewstep.engine.backends.torch.fuse.graph import (
    arguments,
    aten,
    calls,
    insert,
    is_call,
    is_plain_add,
    replace,
    shape,
    uncast,
)
from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.kernels.linear_attention import linear_attention

TOKENS_FIRST = [0, 3, 1, 2]  # (B, H, D, N) as (B, N, H, D)
HEADS_FIRST = [0, 2, 3, 1]


def fuse_linear_attention(module: GraphModule, report: Report) -> None:
    """sums[..., :-1, :] / (sums[..., -1:, :] + eps), sums = (pad(v) @ relu(k)^T) @ relu(q); q, k, v: (B, H, D, N)."""
    for node in calls(module.graph, aten.div.Tensor):
        found = _matched(node)
        if found is None:
            continue
        *heads, eps = found
        views = [insert(node, aten.permute.default, x, TOKENS_FIRST, like=_permuted(x, TOKENS_FIRST)) for x in heads]
        y = insert(node, linear_attention, *views, like=views[2].meta["val"], eps=eps)
        replace(node, insert(node, aten.permute.default, y, HEADS_FIRST, like=_permuted(y, HEADS_FIRST)))
        report.fuse("linear_attention")


def _matched(node: Any) -> tuple[Any, Any, Any, float] | None:
    numerator, denominator = map(uncast, arguments(node))
    if not is_plain_add(denominator) or not isinstance(denominator.args[1], float):
        return None
    weights, eps = uncast(denominator.args[0]), denominator.args[1]
    if not is_call(numerator, aten.slice.Tensor) or not is_call(weights, aten.slice.Tensor):
        return None
    if arguments(numerator)[1:] != [2, 0, -1] or arguments(weights)[1:] != [2, -1, sys.maxsize]:
        return None
    sums = uncast(numerator.args[0])
    if uncast(weights.args[0]) is not sums or not is_call(sums, aten.matmul.default):
        return None
    state, q = map(uncast, arguments(sums))
    if not is_call(state, aten.matmul.default) or not is_call(q, aten.relu.default):
        return None
    padded, k_transposed = map(uncast, arguments(state))
    k = _relu_of_transposed(k_transposed)
    if not is_call(padded, aten.pad.default) or arguments(padded)[1:] != [[0, 0, 0, 1], "constant", 1.0]:
        return None
    q, v = uncast(q.args[0]), uncast(padded.args[0])
    if k is None or not len(shape(q)) == len(shape(k)) == len(shape(v)) == 4 or not shape(q) == shape(k) == shape(v):
        return None
    return q, k, v, eps


def _relu_of_transposed(node: Any) -> Any:
    """k of relu(k^T) or relu(k)^T."""
    ops = [aten.relu.default, aten.transpose.int]
    while ops:
        op = next((op for op in ops if is_call(node, op)), None)
        if op is None or (op is aten.transpose.int and {axis % 4 for axis in node.args[1:]} != {2, 3}):
            return None
        ops.remove(op)
        node = uncast(node.args[0])
    return node


def _permuted(x: Any, order: list[int]) -> Any:
    return x.meta["val"].permute(order)

"""RMSNorm of q and k, their rotation and the move to attention's layout: one kernel, which joins two streams too."""

from collections.abc import Sequence
from dataclasses import dataclass
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
    insert_item,
    is_call,
    is_plain_add,
    shape,
    uncast,
)
from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.kernels.norm_rope import norm_rope

HEADS_FIRST = [0, 2, 1, 3]
Stream = tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]  # q, k, v, q_weight, k_weight


@dataclass(frozen=True)
class Rotated:
    """The tokens of one or two streams, (B, N, H, D) each, normalised by their own weights and rotated together."""

    streams: Sequence[tuple[Node, Node | None]]
    eps: float
    cos: Tensor
    sin: Tensor


def joint_norm_rope(streams: Sequence[Stream], cos: Tensor, sin: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v (B, H, N, D) of streams one after the other; cos, sin: (N, D/2) of all tokens."""
    q, k, v = streams[0][:3]
    B, D = q.shape[0], q.shape[-1]
    out = tuple(q.new_empty((B, x.shape[2], len(cos), D)) for x in (q, k, v))
    offset = 0
    for q, k, v, q_weight, k_weight in streams:
        own = slice(offset, offset + q.shape[1])
        norm_rope(q, k, q_weight, k_weight, cos[own], sin[own], eps=eps, v=v, out=out, offset=offset)
        offset = own.stop
    return out[0], out[1], out[2]


def fuse_rope(module: GraphModule, report: Report) -> None:
    for node in calls(module.graph, aten.scaled_dot_product_attention.default):
        q, k = (_rotated(module, argument) for argument in node.args[:2])
        v = _heads_first(node.args[2])
        if q is None or k is None or v is None or not _same_tables(q, k):
            continue
        values = _parts(v)
        if len({len(q.streams), len(k.streams), len(values)}) != 1 or q.eps != k.eps:
            continue
        cos, sin = (insert_constant(module, table, node) for table in (q.cos, q.sin))
        streams = [
            (q_x, k_x, v_x, q_weight, k_weight)
            for (q_x, q_weight), (k_x, k_weight), v_x in zip(q.streams, k.streams, values, strict=True)
        ]
        _rewrite(node, streams, cos, sin, q.eps)
        report.fuse("norm_rope" if len(streams) == 1 else f"norm_rope of {len(streams)} streams")


def _rewrite(node: Node, streams: list[tuple[Any, ...]], cos: Node, sin: Node, eps: float) -> None:
    q, k, v = node.args[:3]
    if len(streams) == 1:
        q_x, k_x, _, q_weight, k_weight = streams[0]
        made = insert(node, norm_rope, q_x, k_x, q_weight, k_weight, cos, sin, like=None, eps=eps)
    else:
        made = insert(node, joint_norm_rope, streams, cos, sin, eps, like=None)
    for i, old in enumerate((q, k, v) if len(streams) > 1 else (q, k)):
        assert isinstance(old, Node)
        node.update_arg(i, insert_item(made, i, node, old.meta["val"]))


def _rotated(module: GraphModule, heads: Any) -> Rotated | None:
    """x * cos + (-x_odd, x_even) * sin of neighbouring pairs, as diffusers' apply_rotary_emb writes it."""
    total = uncast(_heads_first(heads))
    if not is_plain_add(total):
        return None
    straight, crossed = map(uncast, total.args)
    if not is_call(straight, aten.mul.Tensor) or not is_call(crossed, aten.mul.Tensor):
        return None
    x, turned = uncast(straight.args[0]), uncast(crossed.args[0])
    cos, sin = (_table(module, product.args[1]) for product in (straight, crossed))
    if cos is None or sin is None or not _is_quarter_turn(turned, x):
        return None
    norms = _parts(x)
    if not all(is_call(norm, aten.rms_norm.default) and len(norm.args[1]) == 1 for norm in norms):
        return None
    given = [[*arguments(norm), None, None][:4] for norm in norms]
    if len({eps for *_, eps in given}) != 1 or given[0][3] is None:
        return None
    return Rotated([(source, weight) for source, _, weight, _ in given], given[0][3], cos, sin)


def _heads_first(node: Any) -> Any:
    """(B, N, H, D) of which node is the view (B, H, N, D), else None."""
    if is_call(node, aten.permute.default) and list(node.args[1]) == HEADS_FIRST:
        return node.args[0]
    if is_call(node, aten.transpose.int) and sorted(node.args[1:]) == [1, 2]:
        return node.args[0]
    return None


def _is_quarter_turn(turned: Any, x: Node) -> bool:
    """Whether turned holds (-b, a) for each pair (a, b) of x's last axis."""
    if not is_call(turned, aten.flatten.using_ints, aten.reshape.default) or shape(turned) != shape(x):
        return False
    stack = turned.args[0]
    if not is_call(stack, aten.stack.default) or stack.args[1] != -1 or len(stack.args[0]) != 2:
        return False
    negated, a = stack.args[0]
    if not is_call(negated, aten.neg.default):
        return False
    b = negated.args[0]
    if a.args[1:] != (0,) or b.args[1:] != (1,) or a.args[0] is not b.args[0]:
        return False
    pairs = a.args[0]
    if not is_call(pairs, aten.unbind.int) or pairs.args[1] != -1:
        return False
    split = pairs.args[0]
    return is_call(split, aten.reshape.default) and shape(split)[-1] == 2 and uncast(split.args[0]) is x


def _table(module: GraphModule, node: Any) -> Tensor | None:
    """(N, D/2) float32 of a constant (1, N, 1, D) that holds every value twice."""
    value = constant(module, uncast(node))
    if value is None or value.dim() != 4 or value.shape[0] != 1 or value.shape[2] != 1:
        return None
    even, odd = value[0, :, 0, ::2], value[0, :, 0, 1::2]
    return even.float().contiguous() if torch.equal(even, odd) else None


def _parts(x: Any) -> list[Any]:
    """The tensors that x joins along its tokens, or x alone."""
    if is_call(x, aten.cat.default) and len(x.args) > 1 and x.args[1] == 1:
        return list(x.args[0])
    return [x]


def _same_tables(q: Rotated, k: Rotated) -> bool:
    return torch.equal(q.cos, k.cos) and torch.equal(q.sin, k.sin)

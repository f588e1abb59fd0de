"""scaled_dot_product_attention becomes the attention kernel; a mask that only cuts off padding becomes lengths."""

import torch
from torch.fx import GraphModule, Node

from fewstep.engine.backends.torch.fuse.graph import argument, aten, calls, insert, is_call, replace, shape
from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.kernels.attention import attention

VIEWS = (
    aten.expand.default,
    aten.repeat_interleave.self_int,
    aten.reshape.default,
    aten.to.dtype,
    aten.unsqueeze.default,
)
LARGE = 1e4  # a bias of -LARGE on a key is as good as none of it: exp(-1e4) is 0


def fuse_attention(module: GraphModule, report: Report) -> None:
    for node in calls(module.graph, aten.scaled_dot_product_attention.default):
        q, k, v = node.args[:3]
        assert isinstance(q, Node) and isinstance(k, Node) and isinstance(v, Node)
        mask, causal = argument(node, 3, "attn_mask"), argument(node, 5, "is_causal", False)
        lengths = None if mask is None else prefix_lengths(mask)
        if causal or (mask is not None and lengths is None):
            report.leave(node, "a causal mask" if causal else "a mask that is no length")
            continue
        if len({len(shape(t)) for t in (q, k, v)} | {4}) != 1 or shape(q)[-1] != shape(v)[-1]:
            report.leave(node, f"shapes {shape(q)}, {shape(k)}, {shape(v)}")
            continue
        if lengths is not None:
            lengths = insert(node, aten.to.dtype, lengths, torch.int32, like=lengths.meta["val"].int())
        options = {"scale": node.kwargs.get("scale"), "lengths": lengths}
        replace(node, insert(node, attention, q, k, v, like=node.meta["val"], **options))
        report.fuse("attention" if lengths is None else "attention of lengths")


def prefix_lengths(mask: Node) -> Node | None:
    """(B,) lengths if the mask is arange(M) < lengths[:, None], as a bool or as a bias of 0 and -LARGE; else None."""
    is_bias = mask.meta["val"].dtype != torch.bool
    inverted = scaled = False
    node = mask
    while not is_call(node, aten.lt.Tensor):
        if is_call(node, aten.rsub.Scalar) and node.args[1] == 1:
            inverted = not inverted
        elif is_call(node, aten.mul.Tensor) and isinstance(node.args[1], float) and node.args[1] <= -LARGE:
            scaled = True
        elif not is_call(node, *VIEWS):
            return None
        source = node.args[0]
        assert isinstance(source, Node)
        node = source
    keys, lengths = node.args
    if is_bias != (inverted and scaled) or not is_call(lengths, aten.unsqueeze.default):
        return None
    assert isinstance(keys, Node) and isinstance(lengths, Node)
    source = lengths.args[0]
    assert isinstance(source, Node)
    return source if len(shape(keys)) == 1 and len(shape(source)) == 1 else None

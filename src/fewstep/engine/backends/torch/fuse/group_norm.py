"""GroupNorm with the residual sum before it and the scale, shift and SiLU after it becomes one kernel."""

from torch.fx import GraphModule, Node

from fewstep.engine.backends.torch.fuse.graph import (
    arguments,
    aten,
    calls,
    insert,
    insert_item,
    is_call,
    is_plain_add,
    only_user,
    positions,
    replace,
    shape,
)
from fewstep.engine.backends.torch.fuse.modulation import flattened, modulation_of, sum_of
from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.kernels.group_norm import group_norm


def fuse_group_norm(module: GraphModule, report: Report) -> None:
    for node in calls(module.graph, aten.group_norm.default):
        _fuse(module, node, report)


def _fuse(module: GraphModule, node: Node, report: Report) -> None:
    x, groups, weight, bias, eps = (*node.args, *[None, None, 1e-5][len(node.args) - 2 :])[:5]
    assert isinstance(x, Node)
    B, C = shape(x)[:2]

    def of_sample(m: Node) -> bool:
        return shape(m) in ((B, C), (B, C, *[1] * (len(shape(x)) - 2)))

    modulation = modulation_of(node, of_sample)
    end = node if modulation is None else modulation.end
    silu = only_user(end)
    has_silu = silu is not None and is_call(silu, aten.silu.default)
    end = silu if has_silu and silu is not None else end
    parts, at = sum_of(x) or _sum_with_embedding(x), positions(module.graph)
    if parts is not None and not all(user is node or at[user] > at[end] for user in x.users):
        parts = None  # the sum is needed before the kernel can have made it
    options = {
        "eps": eps,
        "silu": has_silu,
        "scale": None if modulation is None else flattened(modulation.scale, end),
        "shift": None if modulation is None else flattened(modulation.shift, end),
    }
    y_like, name = end.meta["val"], "group_norm" + (" + scale, shift" if modulation else "") + " + silu" * has_silu
    if parts is None:
        made = insert(end, group_norm, x, groups, weight, bias, like=y_like, **options)
        replace(end, made)
        report.fuse(name)
        return
    residual = parts[1]
    if shape(residual) != shape(x):
        residual = insert(end, aten.expand.default, residual, list(shape(x)), like=x.meta["val"])
    both = insert(end, group_norm, parts[0], groups, weight, bias, like=None, residual=residual, **options)
    y = insert_item(both, 0, end, y_like)
    total = insert_item(both, 1, end, x.meta["val"])
    replace(end, y)
    x.replace_all_uses_with(total, delete_user_cb=lambda user: at.get(user, 0) > at[end])
    report.fuse("sum + " + name)


def _sum_with_embedding(x: Node) -> tuple[Node, Node] | None:
    """The picture (B, C, H, W) and the embedding (B, C, 1, 1) that x is the sum of, if it is one."""
    if not is_plain_add(x) or len(shape(x)) != 4 or not all(isinstance(part, Node) for part in x.args):
        return None
    of_channels = (*shape(x)[:2], 1, 1)
    for picture, embedding in (arguments(x), arguments(x)[::-1]):
        same = picture.meta["val"].dtype == embedding.meta["val"].dtype == x.meta["val"].dtype
        if same and shape(picture) == shape(x) and shape(embedding) == of_channels != shape(x):
            return picture, embedding
    return None

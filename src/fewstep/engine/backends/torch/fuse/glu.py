"""The two halves of a projection, one gating the other, become one pass."""

import operator
from typing import Any

from torch.fx import GraphModule, Node

from fewstep.engine.backends.torch.fuse.graph import (
    aten,
    calls,
    insert,
    is_call,
    only_user,
    other_operand,
    replace,
    shape,
)
from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.kernels.glu import glu


def fuse_glu(module: GraphModule, report: Report) -> None:
    """value * gelu(gate) with value, gate = x.chunk(2, -1)."""
    for node in calls(module.graph, aten.gelu.default):
        product = only_user(node)
        gate: Any = node.args[0]
        if product is None or not is_call(product, aten.mul.Tensor) or not is_call(gate, operator.getitem):
            continue
        value, chunk = other_operand(product, node), gate.args[0]
        if not is_call(value, operator.getitem) or value.args != (chunk, 0) or gate.args != (chunk, 1):
            continue
        if not is_call(chunk, aten.chunk.default) or chunk.args[1] != 2 or not _is_last(chunk):
            continue
        kind = "geglu_tanh" if node.kwargs.get("approximate") == "tanh" else "geglu"
        replace(product, insert(product, glu, chunk.args[0], like=product.meta["val"], kind=kind))
        report.fuse(kind)


def _is_last(chunk: Node) -> bool:
    source = chunk.args[0]
    assert isinstance(source, Node)
    axis = chunk.args[2] if len(chunk.args) > 2 else 0
    return axis in (-1, len(shape(source)) - 1)

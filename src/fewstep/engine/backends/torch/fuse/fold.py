"""What hangs on no input is computed once; what is computed twice is computed once."""

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from fewstep.engine.backends.torch.fuse.graph import constant, insert_constant

MAX_BYTES = 2**26  # of one folded constant: rotary tables fit, copies of weights do not
RANDOM = torch.Tag.nondeterministic_seeded


def fold(module: GraphModule) -> int:
    """Replace calls whose inputs are all constants by their results; returns how many constants that made."""
    values: dict[Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            values[node] = constant(module, node)
        elif _is_pure_call(node) and all(source in values for source in node.all_input_nodes):
            values[node] = _evaluate(node, values)
    folded = 0
    for node, value in values.items():
        needed = any(user not in values for user in node.users)
        if node.op == "call_function" and needed and isinstance(value, Tensor) and _bytes(value) <= MAX_BYTES:
            node.replace_all_uses_with(
                insert_constant(module, value.contiguous(), node), delete_user_cb=lambda user: user not in values
            )
            folded += 1
    module.graph.eliminate_dead_code()
    return folded


@torch.no_grad()
def _evaluate(node: Node, values: dict[Node, Any]) -> Any:
    args = torch.fx.map_arg(node.args, values.__getitem__)
    kwargs = torch.fx.map_arg(node.kwargs, values.__getitem__)
    target: Any = node.target
    return target(*args, **kwargs)


def _bytes(value: Tensor) -> int:
    return value.numel() * value.element_size()


def share(module: GraphModule) -> int:
    """Make equal calls of equal arguments one call; returns how many were dropped."""
    seen: dict[Any, Node] = {}
    dropped = 0
    for node in list(module.graph.nodes):
        if node.op != "get_attr" and not _is_pure_call(node):
            continue
        key = (node.op, node.target, _hashable(node.args), _hashable(node.kwargs))
        first = seen.setdefault(key, node)
        if first is not node:
            node.replace_all_uses_with(first)
            module.graph.erase_node(node)
            dropped += node.op == "call_function"
    return dropped


def _is_pure_call(node: Node) -> bool:
    return node.op == "call_function" and RANDOM not in getattr(node.target, "tags", ())


def _hashable(value: Any) -> Any:
    """Arguments with their types: 1, 1.0 and True are equal, yet not the same argument."""
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    if isinstance(value, dict):
        return tuple((key, _hashable(item)) for key, item in value.items())
    return type(value), value

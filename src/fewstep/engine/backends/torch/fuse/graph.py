"""Exported graphs and the few operations on them that every rewriting needs."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

aten = torch.ops.aten
IDENTITIES = (
    aten.alias.default,
    aten.clone.default,
    aten.contiguous.default,  # rewritten graphs choose layouts themselves: every view becomes a reshape
    aten.detach.default,
    aten.to.device,
    aten.to.dtype,
    aten.to.dtype_layout,
)


def export_graph(module: nn.Module, args: Sequence[Tensor]) -> GraphModule:
    """The module's operations at the shapes of args, its parameters shared, without assertions and identities."""
    made = torch.export.export(module, tuple(args), strict=False).module()
    assert isinstance(made, GraphModule)
    tidy(made)
    return made


def tidy(module: GraphModule) -> None:
    """Drop what computes nothing, and turn views, which demand a layout, into reshapes, which do not."""
    for node in list(module.graph.nodes):
        if node.op == "call_module" or is_call(node, aten._assert_tensor_metadata.default):
            module.graph.erase_node(node)  # the guards of torch.export: shapes are fixed here
        elif is_call(node, aten.view.default, aten._unsafe_view.default):
            node.target = aten.reshape.default
        elif _is_identity(node):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()


def _is_identity(node: Node) -> bool:
    if is_call(node, aten.dropout.default):
        return not node.args[2]
    if is_call(node, aten.div.Tensor, aten.mul.Tensor) and node.args[1] == 1:
        return is_like(node, node.args[0])
    return is_call(node, *IDENTITIES) and is_like(node, node.args[0])


def is_like(node: Node, other: Any) -> bool:
    """Whether both hold tensors of one shape, dtype and device."""
    one, two = node.meta["val"], other.meta["val"]
    return bool(one.shape == two.shape and one.dtype == two.dtype and one.device == two.device)


def is_call(node: Any, *targets: object) -> bool:
    return isinstance(node, Node) and node.op == "call_function" and node.target in targets


def is_plain_add(node: Any) -> bool:
    """Whether it is a sum without torch.add's factor alpha."""
    return is_call(node, aten.add.Tensor) and not node.kwargs


def calls(graph: Graph, *targets: object) -> list[Node]:
    return [node for node in graph.nodes if is_call(node, *targets)]


def shape(node: Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def arguments(node: Any) -> list[Any]:
    """What a call was given by position, of whatever types they are."""
    return list(node.args)


def argument(node: Node, index: int, name: str, default: Any = None) -> Any:
    """What the call was given for a parameter, by position or by name."""
    return node.args[index] if index < len(node.args) else node.kwargs.get(name, default)


def only_user(node: Node) -> Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def other_operand(node: Node, operand: Node) -> Any:
    """The other argument of a commutative call of two, or None where there is no other."""
    first, second = node.args
    if first is second:
        return None
    return second if first is operand else first


def insert(before: Node, function: Callable[..., Any], *args: Any, like: Any, **kwargs: Any) -> Node:
    """A new call in front of a node. like: the tensor it returns, as far as shape and dtype go."""
    with before.graph.inserting_before(before):
        node = before.graph.call_function(function, args, kwargs)
    node.meta["val"] = like
    return node


def uncast(node: Any) -> Any:
    """What a cast casts."""
    while is_call(node, aten.to.dtype):
        node = node.args[0]
    return node


def insert_item(tuple_node: Node, index: int, before: Node, like: Any) -> Node:
    """The index-th of the tensors that a call returns."""
    return insert(before, operator.getitem, tuple_node, index, like=like)


def replace(old: Node, new: Node) -> None:
    """Use new wherever old was used."""
    old.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new)
    if not old.users:
        old.graph.erase_node(old)


def constant(module: GraphModule, node: Any) -> Tensor | None:
    """The tensor that a get_attr node reads, else None."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    found: Any = module
    for name in str(node.target).split("."):
        found = getattr(found, name)
    return found if isinstance(found, Tensor) else None


def insert_constant(module: GraphModule, value: Tensor, before: Node) -> Node:
    """A node that reads a tensor, which becomes the module's."""
    name = f"constant_{sum(1 for key, _ in module.named_buffers(recurse=False) if key.startswith('constant_'))}"
    module.register_buffer(name, value, persistent=False)
    with before.graph.inserting_before(before):
        node = before.graph.get_attr(name)
    node.meta["val"] = value.to("meta")
    return node


def positions(graph: Graph) -> dict[Node, int]:
    """The place of each node in the order of execution."""
    return {node: i for i, node in enumerate(graph.nodes)}


def finish(module: GraphModule) -> None:
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()

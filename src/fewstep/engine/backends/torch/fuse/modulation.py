"""What may follow a normalisation: (1 + scale), shift, and what may come before it: a residual sum."""

from collections.abc import Callable
from dataclasses import dataclass

from torch.fx import Node

from fewstep.engine.backends.torch.fuse.graph import (
    aten,
    insert,
    is_call,
    is_plain_add,
    only_user,
    other_operand,
    shape,
)

OfSample = Callable[[Node], bool]


@dataclass(frozen=True)
class Modulation:
    """y * (1 + scale) + shift, last computed by `end`."""

    scale: Node
    shift: Node
    end: Node


def modulation_of(y: Node, is_modulation: OfSample) -> Modulation | None:
    """What y is scaled and shifted by, if that is all that happens to it and both satisfy is_modulation."""
    scaled = only_user(y)
    if scaled is None or not is_call(scaled, aten.mul.Tensor):
        return None
    one_plus = other_operand(scaled, y)
    if is_call(one_plus, aten.unsqueeze.default):
        one_plus = one_plus.args[0]
    if not is_plain_add(one_plus) or one_plus.args[1] != 1:
        return None
    end, scale = only_user(scaled), one_plus.args[0]
    if end is None or not is_plain_add(end):
        return None
    shift = other_operand(end, scaled)
    if not all(isinstance(m, Node) and is_modulation(m) for m in (scale, shift)):
        return None
    return Modulation(scale, shift, end)


def sum_of(x: Node) -> tuple[Node, Node] | None:
    """The two tensors of x's shape that x is the sum of, if it is one."""
    if not is_plain_add(x) or not all(isinstance(arg, Node) for arg in x.args):
        return None
    one, two = x.args
    assert isinstance(one, Node) and isinstance(two, Node)
    if not all(shape(part) == shape(x) and part.meta["val"].dtype == x.meta["val"].dtype for part in (one, two)):
        return None
    return one, two


def flattened(m: Node, before: Node) -> Node:
    """m: (B, C), (B, C, 1, 1) or (B, 1, C) as (B, C)."""
    if len(shape(m)) == 2:
        return m
    sizes = [size for size in shape(m) if size != 1]
    size = (shape(m)[0], sizes[-1] if sizes else 1)
    if is_call(m, aten.unsqueeze.default) and shape(m.args[0]) == size:  # type: ignore[arg-type]
        source = m.args[0]
        assert isinstance(source, Node)
        return source
    return insert(before, aten.reshape.default, m, list(size), like=m.meta["val"].reshape(size))

"""Linear layers of one input become one matrix product: q, k and v; every block's projection of text or time."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from fewstep.engine.backends.torch.fuse.graph import (
    argument,
    aten,
    calls,
    constant,
    insert,
    insert_constant,
    insert_item,
    shape,
)
from fewstep.engine.backends.torch.fuse.report import Report

MAX_BYTES = 2**30  # of one merged weight


def merge_linears(module: GraphModule, report: Report) -> None:
    """Products of few rows are bound by launches and by reading weights: one large one takes less than many small."""
    groups: dict[tuple[Node, bool], list[Node]] = defaultdict(list)
    for node in calls(module.graph, aten.linear.default):
        if constant(module, node.args[1]) is not None:
            x: Any = node.args[0]
            groups[x, argument(node, 2, "bias") is not None].append(node)
    for (x, biased), nodes in groups.items():
        for part in _of_bounded_size(module, nodes):
            if len(part) > 1:
                _merge(module, x, part, biased)
                report.fuse("linears of one input", len(part))


def _of_bounded_size(module: GraphModule, nodes: list[Node]) -> Iterator[list[Node]]:
    """Neighbours of at most MAX_BYTES together."""
    part: list[Node] = []
    held = 0
    for node in nodes:
        weight = constant(module, node.args[1])
        assert weight is not None
        size = weight.numel() * weight.element_size()
        if part and held + size > MAX_BYTES:
            yield part
            part, held = [], 0
        part, held = [*part, node], held + size
    yield part


def _merge(module: GraphModule, x: Node, nodes: list[Node], biased: bool) -> None:
    first = nodes[0]
    widths = [shape(node)[-1] for node in nodes]
    parameters = [[constant(module, node.args[k]) for node in nodes] for k in range(1, 2 + biased)]
    merged = [insert_constant(module, _joined([p for p in ps if p is not None]), first) for ps in parameters]
    like = first.meta["val"].new_empty((*shape(x)[:-1], sum(widths)))
    product = insert(first, aten.linear.default, x, *merged, like=like)
    parts = insert(first, aten.split_with_sizes.default, product, widths, -1, like=None)
    items = [insert_item(parts, i, first, node.meta["val"]) for i, node in enumerate(nodes)]
    for node, item in zip(nodes, items, strict=True):
        node.replace_all_uses_with(item)
        module.graph.erase_node(node)


def _joined(parameters: list[Tensor]) -> Tensor:
    """The parameters below each other. They become views of the result, so that no weight is held twice."""
    found = _already_joined(parameters)
    if found is not None:
        return found
    joined = torch.cat([parameter.detach() for parameter in parameters])
    for parameter, rows in zip(parameters, joined.split([len(p) for p in parameters]), strict=True):
        parameter.data = rows
    return joined


def _already_joined(parameters: list[Tensor]) -> Tensor | None:
    """The whole of which the parameters are the rows in order, as an earlier merging left them."""
    first, end = parameters[0], parameters[0].storage_offset()
    for parameter in parameters:
        same = parameter.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not same or not parameter.is_contiguous() or parameter.storage_offset() != end:
            return None
        end += parameter.numel()
    rows = sum(len(parameter) for parameter in parameters)
    return first.detach().as_strided((rows, *first.shape[1:]), first.stride())

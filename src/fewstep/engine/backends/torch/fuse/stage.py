"""What a denoiser computes from the prompt alone leaves the loop: text keys and values are the same at every step."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

from fewstep.engine.backends.torch.fuse.report import Report


class Staged(nn.Module):
    """The prompt stage, and after it what of the denoiser is to be done once."""

    def __init__(self, prompt: nn.Module, once: nn.Module) -> None:
        super().__init__()
        self.prompt, self.once = prompt, once

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        made: tuple[Tensor, ...] = self.once(*self.prompt(*inputs))
        return made


def split_at_prompt(module: GraphModule, moving: int, report: Report) -> tuple[GraphModule, GraphModule]:
    """(once, step) of a graph of one result, whose first `moving` inputs change from step to step and the rest do not.

    once(*rest) gives a tuple, and step(*moving, *that tuple) what the module gave.
    """
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    changing = set(placeholders[:moving])
    for node in module.graph.nodes:
        if changing.intersection(node.all_input_nodes):
            changing.add(node)
    constants = {node for node in module.graph.nodes if node.op == "get_attr"}
    others = changing | constants
    kept = dict.fromkeys(node for node in module.graph.nodes if node not in others)  # a set in order
    handed = [node for node in kept if changing.intersection(node.users)]
    report.fuse("computed once a prompt", sum(node.op == "call_function" for node in kept))
    once = _graph(module, placeholders[moving:], lambda node: node in constants or node in kept, tuple(handed))
    (result,) = next(node for node in module.graph.nodes if node.op == "output").args[0]
    step = _graph(module, [*placeholders[:moving], *handed], lambda node: node in constants or node in changing, result)
    return once, step


def _graph(module: GraphModule, inputs: list[Node], belongs: Callable[[Node], bool], result: Any) -> GraphModule:
    """The module's nodes that belong, as a module of their own that shares its weights."""
    graph = Graph()
    copies = {node: graph.placeholder(node.name) for node in inputs}
    for node in module.graph.nodes:
        if node.op in ("call_function", "get_attr") and node not in copies and belongs(node):
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in result) if isinstance(result, tuple) else copies[result])
    graph.eliminate_dead_code()
    graph.lint()
    return GraphModule(module, graph)

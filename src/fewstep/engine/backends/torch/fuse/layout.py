"""Convolutions in channels_last: the weights are laid out so once, and what they make follows."""

import torch
from torch.fx import GraphModule

from fewstep.engine.backends.torch.fuse.graph import aten, calls, constant, insert_constant
from fewstep.engine.backends.torch.fuse.report import Report


def lay_out_convolutions(module: GraphModule, report: Report) -> None:
    for node in calls(module.graph, aten.conv2d.default):
        weight = constant(module, node.args[1])
        if weight is not None:
            laid_out = weight.contiguous(memory_format=torch.channels_last)
            node.update_arg(1, insert_constant(module, laid_out, node))
            report.fuse("conv2d in channels_last")

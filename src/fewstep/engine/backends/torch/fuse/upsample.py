"""Nearest upsampling by two becomes the kernel that writes channels last."""

from torch.fx import GraphModule, Node

from fewstep.engine.backends.torch.fuse.graph import aten, calls, insert, replace, shape
from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.kernels.upsample import upsample2x


def fuse_upsample(module: GraphModule, report: Report) -> None:
    for node in calls(module.graph, aten.upsample_nearest2d.vec):
        x = node.args[0]
        assert isinstance(x, Node)
        if shape(node)[2:] != tuple(2 * size for size in shape(x)[2:]):
            report.leave(node, f"{shape(x)} to {shape(node)} is not twice as large")
            continue
        replace(node, insert(node, upsample2x, x, like=node.meta["val"]))
        report.fuse("upsample2x")

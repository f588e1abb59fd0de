"""A module as the graph of its operations at given shapes, the hot ones replaced by kernels."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.fx import GraphModule

from fewstep.engine.backends.torch.fuse.attention import fuse_attention
from fewstep.engine.backends.torch.fuse.bias import move_biases
from fewstep.engine.backends.torch.fuse.depthwise import fuse_depthwise
from fewstep.engine.backends.torch.fuse.fold import fold, share
from fewstep.engine.backends.torch.fuse.glu import fuse_glu
from fewstep.engine.backends.torch.fuse.graph import export_graph, finish
from fewstep.engine.backends.torch.fuse.group_norm import fuse_group_norm
from fewstep.engine.backends.torch.fuse.layout import lay_out_convolutions
from fewstep.engine.backends.torch.fuse.linear import merge_linears
from fewstep.engine.backends.torch.fuse.linear_attention import fuse_linear_attention
from fewstep.engine.backends.torch.fuse.norm import fuse_norms
from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.engine.backends.torch.fuse.rope import fuse_rope
from fewstep.engine.backends.torch.fuse.upsample import fuse_upsample

PASSES = (  # in this order: the first takes q and k from their norms, the last lay out what is left
    fuse_rope,
    fuse_attention,
    fuse_linear_attention,
    move_biases,
    fuse_group_norm,
    fuse_norms,
    fuse_glu,
    fuse_upsample,
    fuse_depthwise,
    lay_out_convolutions,
    merge_linears,
)


def rewrite(module: nn.Module, args: Sequence[Tensor]) -> tuple[GraphModule, Report]:
    """The fused module, for inputs of exactly the shapes and dtypes of args, and what was done to it.

    The module itself stays as it is; weights that were not laid out anew or merged are shared with it.
    """
    graph, report = export_graph(module, args), Report()
    report.fuse("call shared", share(graph))
    report.fuse("constant folded", fold(graph))
    for fuse in PASSES:
        fuse(graph, report)
        graph.graph.eliminate_dead_code()
    finish(graph)
    report.close(graph.graph)
    return graph, report

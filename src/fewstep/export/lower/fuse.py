"""A network as a graph of fused operations (docs/plan.md), views and elementwise arithmetic, every shape known."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir
import onnx_ir.passes.common as passes

from fewstep.export.lower.floats import make_float32
from fewstep.export.lower.fused import check_fused
from fewstep.export.lower.patterns import attention, conv2d, group_norm, matmul, norm, reduction, resize, views
from fewstep.export.lower.patterns.activation import activation
from fewstep.export.lower.patterns.decomposed import decompose, neutral, quotient
from fewstep.export.lower.patterns.einsum import einsum
from fewstep.export.lower.patterns.gather_nd import gather_nd
from fewstep.export.lower.patterns.residual import added_behind_views
from fewstep.export.lower.patterns.scatter import scatter
from fewstep.export.lower.rewrite import PassReport, Rule, rewrite
from fewstep.export.lower.shared_products import join_products
from fewstep.export.lower.static import make_static
from fewstep.export.lower.tape import FUSED

VIEWS: Sequence[Rule] = (
    views.same_order,
    views.without_effect,
    views.transpose,
    views.expand,
    views.split,
    views.concat,
    views.slice_of_concat,
)
PASSES: Sequence[tuple[str, Sequence[Rule]]] = (
    ("views", (*VIEWS, views.gather, gather_nd, scatter, views.slice, views.blocks)),
    ("elementwise", (decompose, neutral, reduction.position)),
    ("activations", (activation,)),
    ("norms", (norm.standard, norm.primitive, group_norm.standard)),
    ("products", (matmul.standard, matmul.gemm, einsum, conv2d.padded, conv2d.standard)),
    ("resampling", (resize.resize, resize.pad, reduction.pool)),
    ("reductions", (reduction.softmax, reduction.reduce)),
    ("regrouped norms", (*VIEWS, norm.flattened, group_norm.reshaped)),
    ("attention", (attention.standard, attention.products)),
    ("norms' epilogues", (norm.affine, group_norm.affine, group_norm.activated)),
    ("convolutions", (*VIEWS, conv2d.repeated, conv2d.added, conv2d.scaled, conv2d.activated)),
    (
        "matrix products",
        (matmul.scaled, matmul.biased, matmul.halves, matmul.activated, matmul.gated, matmul.added),
    ),
    ("residuals", (added_behind_views, group_norm.summed)),
    ("quotients", (quotient,)),
    ("views again", VIEWS),
)


def fuse(model: ir.Model, sizes: Mapping[str, int]) -> tuple[ir.Model, list[PassReport]]:
    """The fused graph and what each pass did; `model` stays as it is, and weights are not copied.

    sizes: of the model's symbolic dimensions, such as {"B": 1}. Raises LoweringError for what no plan can hold.
    """
    before = model.graph.num_nodes()
    model = make_static(model, sizes)
    graph = model.graph
    graph.opset_imports[FUSED] = 1
    reports = [PassReport("static", before - graph.num_nodes(), before, graph.num_nodes()), make_float32(graph)]
    passes.CommonSubexpressionEliminationPass()(model)
    reports += [rewrite(graph, name, rules) for name, rules in PASSES]
    reports.append(join_products(graph))
    passes.DeduplicateInitializersPass(size_limit=1 << 10)(model)
    passes.NameFixPass()(model)
    check_fused(graph)
    return model, reports

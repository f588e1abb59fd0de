"""What staging takes out of the loop: nodes, weights and floating point operations, stage by stage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import STEP
from fewstep.export.lower.component import open_component
from fewstep.export.lower.match import attribute
from fewstep.export.lower.static import make_static
from fewstep.export.lower.tape import shape_of

ONE = {"B": 1}


@dataclass(frozen=True)
class Work:
    """Of a graph run once with a batch of one. weights: bytes as they are stored; flop: a multiply-add counts 2."""

    nodes: int
    weights: int
    flop: int


@dataclass(frozen=True)
class Saving:
    """whole: of the network that was not staged; stages: of each; removed: what a step of the loop no longer does."""

    whole: Work
    stages: Mapping[str, Work]
    removed: Work


def bundle_saving(bundle: Bundle, name: str) -> Saving | None:
    """Of a component; None if it has no stages. Raises LoweringError for a graph whose shapes depend on values."""
    stages = {stage: open_component(bundle, name, stage) for stage in bundle.manifest.components[name].stages}
    return measure_saving(open_component(bundle, name), stages) if stages else None


def measure_saving(whole: ir.Model, stages: Mapping[str, ir.Model]) -> Saving:
    """The whole network against its stages; B is the only size that may be open."""
    before, parts = measure_work(whole), {name: measure_work(part) for name, part in stages.items()}
    step = parts[STEP]
    removed = Work(before.nodes - step.nodes, before.weights - step.weights, before.flop - step.flop)
    return Saving(before, parts, removed)


def measure_work(model: ir.Model) -> Work:
    """Counts what is left when all that needs no input is computed ahead."""
    weights = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    graph = make_static(model, ONE).graph
    nodes = [node for node in graph if node.op_type not in ("Constant", "Identity")]
    return Work(len(nodes), weights, sum(_flop(node) for node in nodes))


def _flop(node: ir.Node) -> int:
    count = FLOP.get(node.op_type)
    return count(node) if count is not None and not node.domain else 0


def _inputs(node: ir.Node) -> list[tuple[int, ...]]:
    return [tuple(shape_of(value)) for value in node.inputs if value is not None]


def _out(node: ir.Node) -> int:
    return prod(shape_of(node.outputs[0]))


def _matmul(node: ir.Node) -> int:
    return 2 * _out(node) * _inputs(node)[0][-1]


def _gemm(node: ir.Node) -> int:
    a = _inputs(node)[0]
    return 2 * _out(node) * a[0 if attribute(node, "transA", 0) else 1]


def _conv(node: ir.Node) -> int:
    return 2 * _out(node) * prod(_inputs(node)[1][1:])


def _transposed_conv(node: ir.Node) -> int:
    x, weight, *_ = _inputs(node)
    return 2 * prod(x) * prod(weight[1:])


def _attention(node: ir.Node) -> int:
    """Both products; q is (B, H, N, D), or (B, N, H D)."""
    q, k, v, *_ = _inputs(node)
    if len(q) == 4:
        return 2 * prod(q[:3]) * k[2] * (q[3] + v[3])
    heads, kv_heads = (int(attribute(node, name, 1)) for name in ("q_num_heads", "kv_num_heads"))
    return 2 * q[0] * q[1] * k[1] * (q[2] + heads * (v[2] // kv_heads))


def _einsum(node: ir.Node) -> int:
    terms = str(attribute(node, "equation", "")).replace(" ", "").split("->")[0].split(",")
    sizes = {name: size for term, shape in zip(terms, _inputs(node), strict=True) for name, size in _axes(term, shape)}
    return 2 * prod(sizes.values())


def _axes(term: str, shape: tuple[int, ...]) -> list[tuple[str, int]]:
    """Each axis with its name; those of an ellipsis are counted from its end."""
    before, dots, after = term.partition("...")
    hidden = len(shape) - len(before) - len(after) if dots else 0
    names = [*before, *(f"...{i}" for i in range(hidden, 0, -1)), *after]
    return list(zip(names, shape, strict=True))


FLOP: Mapping[str, Callable[[ir.Node], int]] = {
    "MatMul": _matmul, "Gemm": _gemm, "Conv": _conv, "ConvTranspose": _transposed_conv, "Attention": _attention,
    "Einsum": _einsum,
}  # fmt: skip

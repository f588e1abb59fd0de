"""Products of one value with several weights, such as queries, keys and values, become one: it is read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx_ir as ir

from fewstep.export.lower.match import is_alone, is_constant, operand, producer, required
from fewstep.export.lower.patterns.matmul import BIAS, GATE, A, B
from fewstep.export.lower.rewrite import PassReport, rewrite
from fewstep.export.lower.tape import FUSED, Tape, dtype_of, shape_of
from fewstep.export.lower.view_ops import VIEW_OPS

LARGEST = 1 << 26  # elements of a joined weight: it is in memory whole while it is written


@dataclass(frozen=True)
class _Factor:
    """weight: a constant (K, N), or (N, K) that is transposed, which one product alone reads."""

    weight: ir.Value
    transposed: bool

    @property
    def columns(self) -> int:
        return shape_of(self.weight)[0 if self.transposed else 1]


@dataclass(eq=False)
class _Group:
    nodes: list[ir.Node]
    factors: list[_Factor]
    results: Sequence[ir.Value] = ()


def join_products(graph: ir.Graph) -> PassReport:
    """Weights and biases are joined when they are written; the results are parts of one."""
    groups = {node: group for group in _groups(graph) if len(group.nodes) > 1 for node in group.nodes}

    def join(node: ir.Node, tape: Tape) -> ir.Value | None:
        group = groups.pop(node, None)
        if group is None:
            return None
        group.results = group.results or _joined(group, tape)
        return group.results[group.nodes.index(node)]

    return rewrite(graph, "shared products", [join])


def _groups(graph: ir.Graph) -> list[_Group]:
    """Products that differ in nothing but their weights and biases, until the weights together are too large."""
    groups: list[_Group] = []
    open_groups: dict[object, _Group] = {}
    for node in graph:
        factor = _factor(node)
        if factor is None or _is_concatenated(node.outputs[0]):
            continue
        traits = tuple(sorted((name, str(a.value)) for name, a in node.attributes.items()))
        key = (required(node, A), factor.transposed, operand(node, BIAS) is None, traits)
        group = open_groups.get(key)
        if group is None or sum(prod(shape_of(f.weight)) for f in [*group.factors, factor]) > LARGEST:
            group = open_groups[key] = _Group([], [])
            groups.append(group)
        group.nodes.append(node)
        group.factors.append(factor)
    return groups


def _factor(node: ir.Node) -> _Factor | None:
    if node.op_type != "matmul" or node.domain != FUSED or node.attributes["glu"].value or any(node.inputs[GATE:]):
        return None
    bias, weight = operand(node, BIAS), required(node, B)
    if bias is not None and not is_constant(bias):
        return None
    if (repeated := producer(weight, "Expand")) is not None and is_alone(weight):
        weight = required(repeated, 0)
    flipped = producer(weight, "Transpose")
    if flipped is not None and is_alone(weight):
        weight = required(flipped, 0)
    if not is_constant(weight) or not is_alone(weight) or len(shape_of(weight)) != 2:
        return None
    return _Factor(weight, flipped is not None)


def _is_concatenated(value: ir.Value) -> bool:
    """Whether it can be written where it is needed, which a part of another cannot."""
    users = value.consumers()
    views = [output for user in users if user.op_type in VIEW_OPS for output in user.outputs]
    return any(user.op_type == "Concat" for user in users) or any(map(_is_concatenated, views))


def _joined(group: _Group, tape: Tape) -> Sequence[ir.Value]:
    first, factors = group.nodes[0], group.factors
    (*front, M, _), columns = shape_of(first.outputs[0]), [factor.columns for factor in factors]
    transposed = factors[0].transposed
    weight = _concatenated([factor.weight for factor in factors], 0 if transposed else 1, tape)
    weight = tape.swap(weight) if transposed else weight
    biases = [operand(node, BIAS) for node in group.nodes]
    bias = None if biases[0] is None else _concatenated([value for value in biases if value is not None], 0, tape)
    whole = tape.fused(
        "matmul",
        [required(first, A), tape.expand(weight, (*front, *shape_of(weight))), bias, None, None],
        (*front, M, sum(columns)),
        first.attributes,
    )
    axis = len(front) + 1
    sizes = tape.integers(columns)
    return tape.node("Split", [whole, sizes], [(*front, M, N) for N in columns], {"axis": axis})


def _concatenated(values: Sequence[ir.Value], axis: int, tape: Tape) -> ir.Value:
    """A constant that is made whenever it is read, as it may be large."""
    tensors = [value.const_value for value in values]
    shape = list(shape_of(values[0]))
    shape[axis] = sum(shape_of(value)[axis] for value in values)

    def load() -> ir.TensorProtocol:
        return ir.Tensor(np.concatenate([tensor.numpy() for tensor in tensors if tensor is not None], axis))

    dtype = dtype_of(values[0])
    lazy = ir.LazyTensor(load, dtype, ir.Shape(shape), name="", cache=False)
    joined = ir.Value(shape=ir.Shape(shape), type=ir.TensorType(dtype), const_value=lazy)
    tape.constants.append(joined)
    return joined

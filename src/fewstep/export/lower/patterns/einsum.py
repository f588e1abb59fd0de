"""Einsum of one operand, moved and summed, and of two, as a product of matrices."""

from math import prod

import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.match import attribute, required
from fewstep.export.lower.patterns.matmul import product
from fewstep.export.lower.patterns.reduction import reduced
from fewstep.export.lower.tape import Tape, shape_of


def einsum(node: ir.Node, tape: Tape) -> ir.Value | None:
    if node.op_type != "Einsum" or node.domain:
        return None
    given, _, result = attribute(node, "equation").replace(" ", "").partition("->")
    terms = given.split(",")
    is_plain = all(term.isalpha() and len(set(term)) == len(term) for term in terms) and len(terms) <= 2
    if not is_plain or (result and not result.isalpha()) or "->" not in attribute(node, "equation"):
        raise LoweringError.of(node, f"its equation is {given}->{result}; expected one or two operands and a result")
    values = [_summed(required(node, i), term, "".join([*terms, result]), tape) for i, term in enumerate(terms)]
    if len(values) == 2:
        return _product(*values[0], *values[1], result, tape)
    ((value, term),) = values
    return tape.transpose(value, [term.index(c) for c in result])


def _summed(value: ir.Value, term: str, used: str, tape: Tape) -> tuple[ir.Value, str]:
    """Over the axes that are named nowhere else."""
    axes = [axis for axis, c in enumerate(term) if used.count(c) == 1]
    if not axes:
        return value, term
    return reduced(value, axes, "sum", tape), "".join(c for c in term if used.count(c) > 1)


def _product(a: ir.Value, left: str, b: ir.Value, right: str, result: str, tape: Tape) -> ir.Value:
    """Batch, own axes, summed axes."""
    size = dict(zip(left + right, shape_of(a) + shape_of(b), strict=True))
    summed = [c for c in left if c not in result]
    batch = [c for c in result if c in left and c in right]
    rows, columns = ([c for c in result if c in term and c not in batch] for term in (left, right))

    def arranged(value: ir.Value, term: str, *groups: list[str]) -> ir.Value:
        moved = tape.transpose(value, [term.index(c) for group in groups for c in group])
        return tape.reshape(
            moved, [*(size[c] for c in groups[0]), *(prod(size[c] for c in group) for group in groups[1:])]
        )

    y = product(arranged(a, left, batch, rows, summed), arranged(b, right, batch, summed, columns), tape)
    order = batch + rows + columns
    return tape.transpose(tape.reshape(y, [size[c] for c in order]), [order.index(c) for c in result])

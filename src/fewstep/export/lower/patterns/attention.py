"""attention: of ONNX, and as products around a softmax."""

import numpy as np
import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.match import attribute, is_alone, operand, orders, producer, required, sole, with_scalar
from fewstep.export.lower.tape import FUSED, Tape, dtype_of, shape_of

MASKED = -1e30  # in a sum with scores: far below any, and finite, so that a row of nothing else is no NaN


def standard(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Attention of opset 23: (B, N, H D) or (B, H, N, D), a mask of numbers or truths."""
    if node.op_type != "Attention" or node.domain:
        return None
    if any(operand(node, i) is not None for i in (4, 5, 6)) or any(value.uses() for value in node.outputs[1:]):
        raise LoweringError.of(node, "it has a cache or shows its scores")
    if attribute(node, "softcap", 0.0):
        raise LoweringError.of(node, "its scores are capped")
    heads = attribute(node, "q_num_heads"), attribute(node, "kv_num_heads"), attribute(node, "kv_num_heads")
    q, k, v = (_heads(required(node, i), count, tape) for i, count in enumerate(heads))
    (B, H, N, D), M = shape_of(q), shape_of(k)[2]
    mask = operand(node, 3)
    if mask is not None:
        if dtype_of(mask) == ir.DataType.BOOL:
            mask = tape.elementwise("Where", mask, tape.scalar(0, q), tape.scalar(MASKED, q))
        mask = _columns(mask, M, tape)
        mask = tape.expand(mask, (B, H, N, M))
    scale, causal = attribute(node, "scale", D**-0.5), attribute(node, "is_causal", 0)
    y = tape.fused("attention", [q, k, v, mask], (B, H, N, shape_of(v)[3]), {"scale": float(scale), "causal": causal})
    out = shape_of(node.outputs[0])
    made = y if len(out) == 4 else tape.reshape(tape.transpose(y, (0, 2, 1, 3)), out)
    return made if len(node.outputs) == 1 else None


def _heads(value: ir.Value, count: int | None, tape: Tape) -> ir.Value:
    shape = shape_of(value)
    if len(shape) == 4:
        return value
    assert count is not None
    B, N, width = shape
    return tape.transpose(tape.reshape(value, (B, N, count, width // count)), (0, 2, 1, 3))


def _columns(mask: ir.Value, M: int, tape: Tape) -> ir.Value:
    """A mask may be shorter than the keys: what it leaves out is masked."""
    *front, known = shape_of(mask)
    if known in (1, M):
        return mask
    return tape.concat([mask, tape.constant(np.full((*front, M - known), MASKED), mask)], len(front))


def products(node: ir.Node, tape: Tape) -> ir.Value | None:
    """softmax(scale q k^T + mask) v, and its transpose v^T softmax(...)^T."""
    if node.op_type != "matmul" or node.domain != FUSED or any(node.inputs[2:]) or not _is_plain(node):
        return None
    left, right = required(node, 0), required(node, 1)
    direct, other, flipped = left, right, False
    swapped = producer(right, "Transpose")
    if swapped is not None and _swaps(swapped) and is_alone(right):
        direct, other, flipped = required(swapped, 0), left, True
    softmax = sole(direct, "softmax")
    if softmax is None and flipped:
        softmax, other, flipped = sole(left, "softmax"), right, False
    scores = _scores(required(softmax, 0)) if softmax is not None else None
    if scores is None:
        return None
    product, scale, mask = scores
    q, q_scale = _without_factor(required(product, 0), tape)
    k, k_scale = _without_factor(required(product, 1), tape)
    k = tape.swap(k)
    v = tape.swap(other) if flipped else other
    y = _fused(q, k, v, mask, scale * q_scale * k_scale, tape)
    return tape.swap(y) if flipped else y


def _is_plain(matmul: ir.Node) -> bool:
    named = matmul.attributes
    return not named["activation"].value and named["scale"].as_float() == 1 and not named["glu"].value


def _swaps(transpose: ir.Node) -> bool:
    rank = len(shape_of(transpose.outputs[0]))
    return list(attribute(transpose, "perm")) == [*range(rank - 2), rank - 1, rank - 2]


def _scores(value: ir.Value) -> tuple[ir.Node, float, ir.Value | None] | None:
    """The product, the factor of it, and what is added."""
    mask, scale = None, 1.0
    total = producer(value, "Add")
    if total is not None and is_alone(value):
        for scores, added in orders(total):
            if shape_of(scores) == shape_of(value) and (found := _scores(scores)) and found[2] is None:
                return found[0], found[1], added
        return None
    while (factor := with_scalar(value.producer(), "Mul")) is not None and is_alone(value):
        value, scale = factor[0], scale * factor[1]
    product = sole(value, "matmul")
    if product is not None and product.inputs[4] is not None and product.inputs[3] is None:
        mask = product.inputs[4] if scale == 1 else None
    if product is None or any(product.inputs[2:4]) or product.attributes["activation"].value:
        return None
    if product.inputs[4] is not None and mask is None:
        return None
    return product, scale * product.attributes["scale"].as_float(), mask


def _without_factor(value: ir.Value, tape: Tape) -> tuple[ir.Value, float]:
    """A number that the operand is multiplied by, before or after it is viewed, goes into the scores' factor."""
    node = value.producer()
    if node is None or node.domain or not is_alone(value):
        return value, 1.0
    if node.op_type in ("Reshape", "Transpose"):
        inner, factor = _without_factor(required(node, 0), tape)
        if factor == 1:
            return value, 1.0
        if node.op_type == "Reshape":
            return tape.reshape(inner, shape_of(value)), factor
        return tape.transpose(inner, attribute(node, "perm")), factor
    return with_scalar(node, "Mul") or (value, 1.0)


def _fused(q: ir.Value, k: ir.Value, v: ir.Value, mask: ir.Value | None, scale: float, tape: Tape) -> ir.Value:
    """Of any rank: axes before the last two are heads, or batch and heads."""
    *front, N, _ = shape_of(q)
    M, width = shape_of(v)[-2:]
    B, H = (front[0], int(np.prod(front[1:]))) if len(front) > 1 else (1, int(np.prod(front)))
    if mask is not None:
        mask = tape.reshape(tape.expand(mask, (*front, N, M)), (B, H, N, M))
    parts = [tape.reshape(x, (B, H, *shape_of(x)[-2:])) for x in (q, k, v)]
    y = tape.fused("attention", [*parts, mask], (B, H, N, width), {"scale": scale, "causal": 0})
    return tape.reshape(y, (*front, N, width))

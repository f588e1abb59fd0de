"""The shapes that the operations of docs/plan.md want of their operands: always full, repeated by strides of 0."""

from dataclasses import replace
from math import prod

from fewstep.errors import LoweringError
from fewstep.export.lower.draft import Draft
from fewstep.export.lower.views import View

Operands = list[View | None]


def fitted(op: Draft) -> Draft:
    """The operation with operands of the full shape, and a matmul over as few axes as strides allow."""
    inputs: Operands = list(op.inputs)
    shape = op.outputs[0].shape
    if op.op == "conv2d":
        _expand(inputs, 3, shape[:2])
        _expand(inputs, 4, shape)
    elif op.op == "matmul":
        a, b = inputs[0], inputs[1]
        assert a is not None and b is not None
        _expand(inputs, 0, (*shape[:-2], *a.shape[-2:]))
        _expand(inputs, 1, (*shape[:-2], *b.shape[-2:]))
        _expand(inputs, 3, shape)
        _expand(inputs, 4, shape)
        return _flattened(replace(op, inputs=tuple(inputs)))
    elif op.op == "group_norm":
        _expand(inputs, 3, shape[:2])
        _expand(inputs, 4, shape[:2])
        _expand(inputs, 5, shape)
    elif op.op in ("layer_norm", "rms_norm"):
        _expand(inputs, 3, shape)
        _expand(inputs, 4, shape)
    elif op.op == "attention":
        _expand(inputs, 3, (*shape[:3], _keys(op)))
    return replace(op, inputs=tuple(inputs))


def _keys(op: Draft) -> int:
    k = op.inputs[1]
    assert k is not None
    return k.shape[2]


def _expand(inputs: Operands, index: int, shape: tuple[int, ...]) -> None:
    view = inputs[index] if index < len(inputs) else None
    if view is None:
        return
    if len(view.shape) > len(shape):  # axes of 1 in front say nothing
        view = view.reshaped(view.shape[len(view.shape) - len(shape) :])
    if view is None or any(n not in (1, want) for n, want in zip(reversed(view.shape), reversed(shape), strict=False)):
        raise LoweringError(f"operand {index}: expected a shape that repeats to {shape}, got {inputs[index]}")
    inputs[index] = view.expanded(shape)


def _flattened(op: Draft) -> Draft:
    """One product of (batch M, K) and (K, N) where b is the same for the batch; else the operation as it is."""
    a, b, bias, *rest = [*op.inputs, None, None, None][:5]
    assert a is not None and b is not None
    batch, (M, K), N = a.shape[:-2], a.shape[-2:], op.outputs[0].shape[-1]
    if not batch or any(stride for n, stride in zip(batch, b.strides, strict=False) if n > 1):
        return op
    rows = prod(batch) * M
    flat = [a.reshaped((rows, K)), *(None if view is None else view.reshaped((rows, N)) for view in rest)]
    target = op.outputs[0].reshaped((rows, N))
    if target is None or any((new is None) != (old is None) for new, old in zip(flat, [a, *rest], strict=True)):
        return op
    shared = replace(b, shape=b.shape[-2:], strides=b.strides[-2:])
    inputs = (flat[0], shared, bias, *flat[1:])
    return replace(op, inputs=inputs[: len(op.inputs)], outputs=(target,))

"""matmul as launches: one product, or one for each of a batch, and what its kernel does not take along as a map."""

from itertools import product
from typing import Any

import torch
from torch import Tensor

from fewstep.export.lower.cuda.steps import Steps
from fewstep.kernels.activation import ACTIVATIONS
from fewstep.kernels.matmul import matmul_launches

MAX_BATCH = 256  # products of one operation


def matmul(steps: Steps, inputs: list[Tensor | None], outputs: list[Tensor]) -> None:
    a, b, bias, gate, residual = inputs
    assert a is not None and b is not None
    (out,) = outputs
    bias = None if bias is None else steps.rows(bias)
    batch = tuple(a.shape[:-2])
    is_shared = all(size == 1 or stride == 0 for size, stride in zip(batch, b.stride()[:-2], strict=True))
    walked = batch[:-1] if is_shared else batch
    count = torch.Size(walked).numel()
    if count > MAX_BATCH:
        raise steps.refuse(f"expected at most {MAX_BATCH} products at once, got {count}")
    for at in product(*map(range, walked)):
        of = b[at][0] if is_shared and batch else b[at]
        gate_at, residual_at = (None if t is None else t[at] for t in (gate, residual))
        _one(steps, a[at], of, bias, gate_at, residual_at, out[at])


def _one(
    steps: Steps,
    a: Tensor,
    b: Tensor,
    bias: Tensor | None,
    gate: Tensor | None,
    residual: Tensor | None,
    out: Tensor,
) -> None:
    """a: (M, K) or (T, M, K), b: (K, N)."""
    weight, a = steps.rows(b.mT), steps.rows(a)
    residual = None if residual is None else steps.rows(residual)
    if a.dim() == 2:
        # A gate is of a sample, the first of three axes: each row is one, unless all rows have the same.
        axis = 0 if gate is None or gate.stride(0) == 0 else 1
        a, out = a.unsqueeze(axis), out.unsqueeze(axis)
        gate, residual = (None if t is None else t.unsqueeze(axis) for t in (gate, residual))
    activation, glu = steps.attributes["activation"], steps.attributes["glu"]
    is_own = activation in ACTIVATIONS or (not activation and not glu)
    sample = None if gate is None else _of_samples(gate)
    terms: dict[str, Any] = {"bias": bias, "scale": steps.attributes["scale"]}
    if is_own and (gate is None) == (sample is None):
        terms |= {"activation": activation or None, "glu": glu or None, "gate": sample, "residual": residual}
        steps.leave(steps.call(matmul_launches, a, weight, **terms), out)
    else:
        _finish(steps, steps.call(matmul_launches, a, weight, **terms), gate, residual, out)


def _of_samples(gate: Tensor) -> Tensor | None:
    """(B, T, N) that repeats along T as (B, N)."""
    if gate.dim() != 3 or (gate.shape[1] > 1 and gate.stride(1) != 0) or (gate.shape[2] > 1 and gate.stride(2) != 1):
        return None
    return gate[:, 0]


def _finish(steps: Steps, y: Tensor, gate: Tensor | None, residual: Tensor | None, out: Tensor) -> None:
    """residual + gate * activation(y), with the GLU of its halves."""
    activation, glu = steps.attributes["activation"], steps.attributes["glu"]
    halves = list(y.chunk(2, -1))[:: 1 if glu == "value_first" else -1] if glu else [y]
    inputs = [*halves, *(t for t in (gate, residual) if t is not None)]
    register, code = len(halves) - 1, list[Any]()
    if activation:
        code.append((activation, register))
        register = len(inputs)
    factors = [0] * bool(glu) + [len(halves)] * (gate is not None)
    for name, operand in [("mul", k) for k in factors] + [("add", len(inputs) - 1)] * (residual is not None):
        code.append((name, register, operand))
        register = len(inputs) + len(code) - 1
    steps.map(inputs, code, out)

"""A fused graph run slowly and plainly: docs/plan.md's table in numpy and PyTorch, in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Values = dict[str, NDArray[Any]]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x,
    "silu": F.silu,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
ELEMENTWISE: dict[str, Any] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
    "Pow": torch.pow,
    "Min": torch.minimum,
    "Max": torch.maximum,
    "Mod": torch.remainder,
    "Neg": torch.neg,
    "Abs": torch.abs,
    "Sqrt": torch.sqrt,
    "Reciprocal": torch.reciprocal,
    "Exp": torch.exp,
    "Log": torch.log,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Tanh": torch.tanh,
    "Erf": torch.erf,
    "Sigmoid": torch.sigmoid,
    "Relu": torch.relu,
    "Floor": torch.floor,
    "Ceil": torch.ceil,
    "Round": torch.round,
    "Sign": torch.sign,
    "Not": torch.logical_not,
    "Less": torch.less,
    "Greater": torch.greater,
    "Equal": torch.eq,
    "LessOrEqual": torch.le,
    "GreaterOrEqual": torch.ge,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Where": torch.where,
    "Identity": lambda x: x,
    "rsqrt": torch.rsqrt,
    **{name: function for name, function in ACTIVATIONS.items() if name},
}


def evaluate(model: ir.Model, inputs: Values) -> Values:
    """Its outputs by name. Every value is checked to have the shape that the graph says."""
    values: dict[ir.Value, Tensor] = {}
    for value in model.graph.initializers.values():
        assert value.const_value is not None
        values[value] = as_tensor(value.const_value.numpy())
    for value in model.graph.inputs:
        values[value] = as_tensor(inputs[str(value.name)])
    for node in model.graph:
        results = run_node(node, [None if value is None else values[value] for value in node.inputs])
        for value, result in zip(node.outputs, results, strict=True):
            assert value.shape is not None and tuple(result.shape) == value.shape.numpy(), (node, result.shape)
            floating = value.dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)
            assert result.is_floating_point() == floating, (node, result.dtype)
            values[value] = result
    return {str(value.name): values[value].numpy() for value in model.graph.outputs}


def as_tensor(array: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(np.array(array))
    return tensor.double() if tensor.is_floating_point() else tensor


def run_node(node: ir.Node, x: list[Tensor | None]) -> list[Tensor]:
    named = {name: a.value for name, a in node.attributes.items()}
    if node.domain == "fewstep" and node.op_type in FUSED:
        return [FUSED[node.op_type](*x, **named)]
    if node.op_type == "Split":
        assert x[0] is not None and x[1] is not None
        return list(torch.split(x[0], x[1].tolist(), named.get("axis", 0)))
    if node.op_type in VIEWS:
        return [VIEWS[node.op_type](*x, **named)]
    if node.op_type == "Cast":
        assert x[0] is not None
        dtype = ir.DataType(named["to"]).numpy()
        return [as_tensor(x[0].numpy().astype(dtype))]
    return [ELEMENTWISE[node.op_type](*x)]


def conv2d(x: Tensor, weight: Tensor, bias: Any, embedding: Any, residual: Any, **a: Any) -> Tensor:
    if a["upsample"] == 2:
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    top, left, bottom, right = a["padding"]
    x = F.pad(x, (left, right, top, bottom))
    y = F.conv2d(x, weight, bias, a["stride"], 0, a["dilation"], a["groups"])
    if embedding is not None:
        assert embedding.shape == y.shape[:2]
        y = y + embedding[:, :, None, None]
    y = plus(y, residual)
    return ACTIVATIONS[a["activation"]](y * a["scale"])


def plus(y: Tensor, residual: Tensor | None) -> Tensor:
    if residual is None:
        return y
    assert residual.shape == y.shape
    return y + residual


def matmul(
    a: Tensor, b: Tensor, bias: Any, gate: Any, residual: Any, *, activation: str, scale: float, glu: str
) -> Tensor:
    assert a.shape[:-2] == b.shape[:-2]
    y = a @ b * scale
    if bias is not None:
        assert bias.shape == y.shape[-1:]
        y = y + bias
    function = ACTIVATIONS[activation]
    if glu:
        value, active = y.chunk(2, -1) if glu == "value_first" else reversed(y.chunk(2, -1))
        y = value * function(active)
    else:
        y = function(y)
    if gate is not None:
        assert gate.shape == y.shape
        y = gate * y
    return plus(y, residual)


def group_norm(
    x: Tensor,
    weight: Any,
    bias: Any,
    scale: Any,
    shift: Any,
    residual: Any,
    *,
    groups: int,
    eps: float,
    activation: str,
) -> Tensor:
    y = F.group_norm(plus(x, residual), groups, weight, bias, eps)
    pixels = (1,) * (x.ndim - 2)
    if scale is not None:
        assert scale.shape == x.shape[:2]
        y = y * (1 + scale.reshape(*scale.shape, *pixels))
    if shift is not None:
        assert shift.shape == x.shape[:2]
        y = y + shift.reshape(*shift.shape, *pixels)
    return ACTIVATIONS[activation](y)


def layer_norm(x: Tensor, weight: Any, bias: Any, scale: Any, shift: Any, *, eps: float) -> Tensor:
    return modulated(F.layer_norm(x, x.shape[-1:], eps=eps), weight, bias, scale, shift)


def rms_norm(x: Tensor, weight: Any, bias: Any, scale: Any, shift: Any, *, eps: float) -> Tensor:
    return modulated(x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps), weight, bias, scale, shift)


def modulated(y: Tensor, weight: Any, bias: Any, scale: Any, shift: Any) -> Tensor:
    for row in (weight, bias):
        assert row is None or row.shape == y.shape[-1:]
    for full in (scale, shift):
        assert full is None or full.shape == y.shape
    y = y if weight is None else y * weight
    y = y if bias is None else y + bias
    y = y if scale is None else y * (1 + scale)
    return y if shift is None else y + shift


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Any, *, scale: float, causal: int) -> Tensor:
    B, H, N, D = q.shape
    G, M = k.shape[1:3]
    assert H % G == 0 and k.shape == (B, G, M, D) and v.shape[:3] == (B, G, M)
    k, v = k.repeat_interleave(H // G, 1), v.repeat_interleave(H // G, 1)
    scores = scale * q @ k.mT
    if mask is not None:
        assert mask.shape == scores.shape
        scores = scores + mask
    if causal:
        scores = scores.masked_fill(torch.ones(N, M, dtype=torch.bool).triu(1), -torch.inf)
    return torch.softmax(scores, -1) @ v


def reduce(x: Tensor, *, kind: str, axes: int) -> Tensor:
    return REDUCTIONS[kind](x, tuple(range(x.ndim - axes, x.ndim)))


def gather(table: Tensor, indices: Tensor) -> Tensor:
    assert bool((indices >= 0).all())
    return table[indices]


def sliced(x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor, steps: Tensor) -> Tensor:
    for start, end, axis, step in zip(*(t.tolist() for t in (starts, ends, axes, steps)), strict=True):
        x = x[(slice(None),) * axis + (slice(start, end, step),)]
    return x


REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "mean": torch.mean,
    "sum": torch.sum,
    "max": torch.amax,
    "min": torch.amin,
}
FUSED: dict[str, Any] = {
    "conv2d": conv2d,
    "matmul": matmul,
    "group_norm": group_norm,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "attention": attention,
    "softmax": lambda x: torch.softmax(x, -1),
    "reduce": reduce,
    "gather": gather,
}
VIEWS: dict[str, Any] = {
    "Reshape": lambda x, shape: x.reshape(shape.tolist()),
    "Transpose": lambda x, perm: x.permute(*perm),
    "Expand": lambda x, shape: x.expand(shape.tolist()),
    "Concat": lambda *x, axis: torch.cat(x, axis),
    "Slice": sliced,
}

"""LayerNorm and RMSNorm with the modulation after them and the gated residual before them become one kernel."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.fx import GraphModule, Node

from fewstep.engine.backends.torch.fuse.graph import (
    arguments,
    aten,
    calls,
    constant,
    insert,
    insert_item,
    is_call,
    is_plain_add,
    only_user,
    other_operand,
    positions,
    replace,
    shape,
    uncast,
)
from fewstep.engine.backends.torch.fuse.modulation import flattened, modulation_of, sum_of
from fewstep.engine.backends.torch.fuse.report import Report
from fewstep.kernels.ada_norm import ada_norm
from fewstep.kernels.gated_residual_norm import gated_residual_norm
from fewstep.kernels.modulation import MAX_D


@dataclass(frozen=True)
class Norm:
    """end = norm(x) * weight + bias over the last axis."""

    kind: Literal["layer", "rms"]
    x: Node
    end: Node
    weight: Node | None
    bias: Node | None
    eps: float


def rows(x: Tensor) -> Tensor:
    """x: (..., N, D) as (B, N, D) with D contiguous, as the kernels take it; a copy only where it is not so already."""
    x = x if x.stride(-1) == 1 else x.contiguous()
    return x if x.dim() == 3 else x.reshape(1, -1, x.shape[-1])


def fuse_norms(module: GraphModule, report: Report) -> None:
    for norm in find_norms(module):
        if shape(norm.x)[-1] > MAX_D or len(shape(norm.x)) < 2:
            report.leave(norm.end, f"shape {shape(norm.x)}")
            continue
        _fuse(module, norm, report)


def find_norms(module: GraphModule) -> list[Norm]:
    """Norms over the last axis alone, in the order of execution."""
    found = []
    for node in calls(module.graph, aten.layer_norm.default, aten.rms_norm.default, aten.rsqrt.default):
        norm = _written_out_rms(module, node) if is_call(node, aten.rsqrt.default) else _norm(node)
        if norm is not None:
            found.append(norm)
    return found


def _norm(node: Node) -> Norm | None:
    is_layer = is_call(node, aten.layer_norm.default)
    x, sizes, *rest = arguments(node)
    defaults = [None, None, 1e-5] if is_layer else [None, None]
    values = [*rest, *defaults[len(rest) :]]
    weight, bias, eps = values[:3] if is_layer else (values[0], None, values[1])
    if len(sizes) != 1 or eps is None:
        return None
    return Norm("layer" if is_layer else "rms", x, node, weight, bias, eps)


def _written_out_rms(module: GraphModule, rsqrt: Node) -> Norm | None:
    """x * rsqrt(mean(x^2) + eps) * weight + bias, with casts to float32 and back, as diffusers' RMSNorm writes it."""
    plus_eps: Any = rsqrt.args[0]
    if not is_plain_add(plus_eps) or not isinstance(plus_eps.args[1], float):
        return None
    mean = plus_eps.args[0]
    if not is_call(mean, aten.mean.dim) or mean.args[1:] != ([-1], True):
        return None
    square = mean.args[0]
    if not is_call(square, aten.pow.Tensor_Scalar) or square.args[1] != 2:
        return None
    x, end = uncast(square.args[0]), only_user(rsqrt)
    if end is None or not is_call(end, aten.mul.Tensor) or uncast(other_operand(end, rsqrt)) is not x:
        return None
    end, (weight,) = _with_parameters(module, end, x, (aten.mul.Tensor,))
    end, (bias,) = _with_parameters(module, end, x, (aten.add.Tensor,))
    if end.meta["val"].dtype != x.meta["val"].dtype:
        return None
    return Norm("rms", x, end, weight, bias, plus_eps.args[1])


def _with_parameters(module: GraphModule, y: Node, x: Node, op: tuple[object]) -> tuple[Node, tuple[Node | None]]:
    """The call that combines y, perhaps cast, with a parameter of the last axis, and the parameter."""
    end, user = y, only_user(y)
    if user is not None and is_call(user, aten.to.dtype):
        end, user = user, only_user(user)
    if user is None or not is_call(user, *op) or user.kwargs:
        return (end if end.meta["val"].dtype == x.meta["val"].dtype else y), (None,)
    parameter = other_operand(user, end)
    value = constant(module, parameter)
    if value is None or value.shape != shape(x)[-1:]:
        return end, (None,)
    return user, (parameter,)


def _fuse(module: GraphModule, norm: Norm, report: Report) -> None:
    sizes = shape(norm.x)

    def of_sample(m: Node) -> bool:
        return len(sizes) == 3 and shape(m) in ((sizes[0], sizes[2]), (sizes[0], 1, sizes[2]))

    modulation = modulation_of(norm.end, of_sample)
    end = norm.end if modulation is None else modulation.end
    given = (None, None) if modulation is None else (modulation.scale, modulation.shift)
    scale, shift = (None if m is None else flattened(m, end) for m in given)
    options = {"norm": norm.kind, "eps": norm.eps, "weight": norm.weight, "bias": norm.bias}
    name = norm.kind + "_norm" + (" + scale, shift" if modulation else "")
    at = positions(module.graph)
    parts = sum_of(norm.x) if len(sizes) == 3 else None
    if parts is not None and all(_inside(user, norm, at) or at[user] > at[end] for user in norm.x.users):
        x, branch, gate = _residual(*parts)
        gate = gate if gate is None else flattened(gate, end)
        args = [insert(end, rows, part, like=part.meta["val"]) for part in (x, branch)]
        both = insert(end, gated_residual_norm, *args, gate, scale, shift, like=None, **options)
        y = insert_item(both, 0, end, end.meta["val"])
        x_new = insert_item(both, 1, end, norm.x.meta["val"])
        replace(end, y)
        norm.x.replace_all_uses_with(x_new, delete_user_cb=lambda user: at.get(user, 0) > at[end])
        report.fuse(("sum + " if gate is None else "gate, sum + ") + name)
        return
    x = insert(end, rows, norm.x, like=norm.x.meta["val"])
    y = insert(end, ada_norm, x, scale, shift, like=end.meta["val"], **options)
    if len(sizes) != 3:
        y = insert(end, aten.reshape.default, y, list(sizes), like=end.meta["val"])
    replace(end, y)
    report.fuse(name)


def _inside(user: Node, norm: Norm, at: dict[Node, int]) -> bool:
    """Whether a user of x is part of the norm itself."""
    if user is norm.end:
        return True
    return (
        is_call(user, aten.to.dtype, aten.pow.Tensor_Scalar, aten.mul.Tensor)
        and all(_inside(after, norm, at) or is_call(after, aten.mean.dim) for after in user.users)
        and at[user] < at[norm.end]
    )


def _residual(one: Node, two: Node) -> tuple[Node, Node, Node | None]:
    """(x, branch, gate) of x + gate * branch."""
    for x, product in ((one, two), (two, one)):
        if is_call(product, aten.mul.Tensor) and len(product.users) == 1:
            for gate, branch in (product.args, product.args[::-1]):
                if not isinstance(gate, Node) or not isinstance(branch, Node):
                    continue
                B, _, D = shape(product)
                if shape(branch) == shape(product) and shape(gate) == (B, 1, D):
                    return x, branch, gate
    return one, two, None

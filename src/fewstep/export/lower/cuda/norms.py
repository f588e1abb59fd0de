"""group_norm, layer_norm, rms_norm and attention as launches."""

from typing import cast

from torch import Tensor

from fewstep.export.lower.cuda.steps import Steps
from fewstep.kernels.ada_norm import ada_norm_launches
from fewstep.kernels.attention import attention_launches
from fewstep.kernels.group_norm import group_norm_launches
from fewstep.kernels.modulation import Norm


def group_norm(steps: Steps, inputs: list[Tensor | None], outputs: list[Tensor]) -> None:
    x, weight, bias, scale, shift, residual = inputs
    assert x is not None
    x, residual, *images = (None if t is None else _image(steps, t) for t in (x, residual, *outputs))
    rows = {"weight": weight, "bias": bias, "scale": scale, "shift": shift}
    given = {name: None if t is None else steps.rows(t) for name, t in rows.items()}
    activation = steps.attributes["activation"]
    silu, eps, groups = activation == "silu", steps.attributes["eps"], steps.attributes["groups"]
    made = steps.call(group_norm_launches, x, groups, **given, residual=residual, eps=eps, silu=silu)
    y, *sums = (made,) if isinstance(made, Tensor) else made
    described = len(steps.launches)
    out = cast(Tensor, images[0])
    for total, target in zip(sums, images[1:], strict=False):
        steps.leave(total, cast(Tensor, target))
    if activation not in ("", "silu"):
        steps.map([y], [(activation, 0)], out)
    else:
        # The second of two launches reads a group's first element anew, which may be written by then.
        steps.leave(y, out, apart=described > 1 and _share(out, x, residual))


def _image(steps: Steps, x: Tensor) -> Tensor:
    """(B, C) and (B, C, ...) as (B, C, N) or (B, C, H, W), a view."""
    if x.dim() in (3, 4):
        return x
    try:
        return x[:, :, None] if x.dim() == 2 else x.view(*x.shape[:2], -1)
    except RuntimeError:
        raise steps.refuse(f"expected pixels that collapse into one axis, got strides {tuple(x.stride())}") from None


def _share(out: Tensor, *operands: Tensor | None) -> bool:
    """Whether out is one of the operands: equal values are one tensor."""
    return any(t is not None and t.untyped_storage()._cdata == out.untyped_storage()._cdata for t in operands)


def layer_norm(steps: Steps, inputs: list[Tensor | None], outputs: list[Tensor]) -> None:
    _norm(steps, inputs, outputs, "layer")


def rms_norm(steps: Steps, inputs: list[Tensor | None], outputs: list[Tensor]) -> None:
    _norm(steps, inputs, outputs, "rms")


def _norm(steps: Steps, inputs: list[Tensor | None], outputs: list[Tensor], norm: Norm) -> None:
    x, weight, bias, scale, shift = inputs
    assert x is not None
    weight, bias = (None if t is None else steps.rows(t) for t in (weight, bias))
    modulation = {
        name: None if t is None else _modulation(steps, t) for name, t in (("scale", scale), ("shift", shift))
    }
    out = _tokens(outputs[0])
    x = _tokens(steps.rows(x))
    if x is None:
        x = _tokens(steps.copied(cast(Tensor, inputs[0])))
    direct = out is not None and (out.shape[-1] == 1 or out.stride(-1) == 1)
    given = {"norm": norm, "eps": steps.attributes["eps"], "weight": weight, "bias": bias, **modulation}
    y: Tensor = steps.call(ada_norm_launches, x, **given, out=out if direct else None)
    if not direct:
        steps.leave(y.view(outputs[0].shape), outputs[0])


def _tokens(x: Tensor) -> Tensor | None:
    """(..., D) as (B, N, D), or None where no view is."""
    if x.dim() <= 3:
        return x[(None,) * (3 - x.dim())]
    try:
        return x.view(-1, *x.shape[-2:])
    except RuntimeError:
        return None


def _modulation(steps: Steps, m: Tensor) -> Tensor:
    """(B, D) where it repeats along N, else (B, N, D)."""
    m = steps.rows(m)
    tokens = _tokens(m)
    if tokens is None:
        tokens = _tokens(steps.copied(m))
    assert tokens is not None
    return tokens[:, 0] if tokens.stride(1) == 0 or tokens.shape[1] == 1 else tokens


def attention(steps: Steps, inputs: list[Tensor | None], outputs: list[Tensor]) -> None:
    q, k, v, mask = inputs
    q, k, v = (steps.rows(cast(Tensor, t)) for t in (q, k, v))
    (out,) = outputs
    direct = out.shape[-1] == 1 or out.stride(-1) == 1
    given = {"scale": steps.attributes["scale"], "mask": mask, "causal": bool(steps.attributes["causal"])}
    y = steps.call(attention_launches, q, k, v, **given, out=out if direct else None)
    if not direct:
        steps.leave(y, out)

"""conv2d as launches: dense, upsampling, depthwise, and grouped as one convolution for each group."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from fewstep.export.lower.cuda.steps import Steps
from fewstep.kernels.conv2d import conv2d_launches
from fewstep.kernels.conv2d_epilogue import Activation
from fewstep.kernels.depthwise_conv2d import depthwise_conv2d_launches
from fewstep.kernels.upsample import upsample2x_launches
from fewstep.kernels.upsample_conv2d import upsample_conv2d_launches

OWN = ("", "silu", "relu")  # activations that the convolution's launch takes along
MAX_GROUPS = 256


def conv2d(steps: Steps, inputs: list[Tensor | None], outputs: list[Tensor]) -> None:
    x, weight, bias, embedding, residual = inputs
    assert x is not None and weight is not None
    (out,) = outputs
    attributes = steps.attributes
    if any(d != 1 for d in attributes["dilation"]) or len(set(attributes["stride"])) != 1:
        raise steps.refuse(f"expected no dilation and one stride, got {attributes['dilation']}, {attributes['stride']}")
    if is_depthwise(weight.shape, attributes):
        _depthwise(steps, x, weight, bias, embedding, residual, out)
        return
    x = steps.channels_last(x)
    embedding = None if embedding is None else steps.rows(embedding)
    residual = None if residual is None else steps.channels_last(residual)
    bias = None if bias is None else steps.rows(bias)
    y = out if out.shape[1] == 1 or out.stride(1) == 1 else None
    groups = attributes["groups"]
    if groups == 1:
        y = _dense(steps, x, weight, bias, embedding, residual, y)
    elif groups > MAX_GROUPS:
        raise steps.refuse(f"expected at most {MAX_GROUPS} groups, got {groups}")
    else:
        y = torch.empty_like(out, memory_format=torch.channels_last) if y is None else y
        slices = [(None,) * groups if t is None else t.chunk(groups, 1) for t in (embedding, residual)]
        rows = [(None,) * groups if t is None else t.chunk(groups) for t in (weight, bias)]
        for part in zip(x.chunk(groups, 1), *rows, *slices, y.chunk(groups, 1), strict=True):
            _dense(steps, *part)
    if attributes["activation"] not in OWN:
        steps.map([y], [(attributes["activation"], 0)], out)
    elif y is not out:
        steps.leave(y, out)


def is_depthwise(shape: Sequence[int], attributes: Mapping[str, Any]) -> bool:
    """What depthwise_conv2d takes: 3 x 3, one channel to a group, no change of size. shape: of the weight."""
    a = attributes
    same = [*a["stride"], *a["padding"], a["upsample"]] == [1] * 7
    return same and tuple(shape[1:]) == (1, 3, 3) and a["groups"] == shape[0] > 1


def is_folded(shape: Sequence[int], attributes: Mapping[str, Any]) -> bool:
    """What upsample_conv2d takes: the enlarged picture's 3 x 3 convolution, of the same size."""
    a = attributes
    same = [*a["stride"], *a["padding"], *a["dilation"], a["groups"]] == [1] * 9
    return same and a["upsample"] == 2 and tuple(shape[2:]) == (3, 3)


def _dense(
    steps: Steps,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    embedding: Tensor | None,
    residual: Tensor | None,
    out: Tensor | None,
) -> Tensor:
    attributes = steps.attributes
    own = cast(Activation | None, (attributes["activation"] if attributes["activation"] in OWN else "") or None)
    end = {
        "embedding": embedding, "residual": residual, "scale": attributes["scale"], "activation": own, "out": out,
    }  # fmt: skip
    y: Tensor
    if steps.folded is not None:
        y = steps.call(upsample_conv2d_launches, x, steps.folded, bias, **end)
        return y
    if attributes["upsample"] == 2:
        x = steps.call(upsample2x_launches, x)
    if not weight.permute(0, 2, 3, 1).is_contiguous():
        weight = steps.copied(weight, (0, 2, 3, 1))
    top, left, bottom, right = attributes["padding"]
    padding = (left, right, top, bottom)
    y = steps.call(conv2d_launches, x, weight, bias, stride=attributes["stride"][0], padding=padding, **end)
    return y


def _depthwise(
    steps: Steps,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    embedding: Tensor | None,
    residual: Tensor | None,
    out: Tensor,
) -> None:
    taps = weight[:, 0].permute(1, 2, 0)
    taps = taps if taps.is_contiguous() else steps.copied(taps)
    y = steps.call(depthwise_conv2d_launches, steps.channels_last(x), taps, bias)
    wide = None if embedding is None else embedding[:, :, None, None].expand(out.shape)
    inputs = [y, *(t for t in (wide, residual) if t is not None)]
    register, code = 0, list[Any]()
    for k in range(1, len(inputs)):
        code.append(("add", register, k))
        register = len(inputs) + len(code) - 1
    if steps.attributes["scale"] != 1:
        code += [("const", steps.attributes["scale"]), ("mul", register, len(inputs) + len(code))]
        register = len(inputs) + len(code) - 1
    if steps.attributes["activation"]:
        code.append((steps.attributes["activation"], register))
    if code:
        steps.map(inputs, code, out)
    else:
        steps.leave(y, out)

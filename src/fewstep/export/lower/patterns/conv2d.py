"""conv2d: Conv, what is padded or repeated before it, then bias, embedding, residual, scale and activation."""

from math import prod

import numpy as np
import onnx_ir as ir

from fewstep.errors import LoweringError
from fewstep.export.lower.match import (
    attribute,
    is_alone,
    is_along,
    is_constant,
    operand,
    orders,
    producer,
    required,
    scalar,
    small_constant,
    sole,
    with_scalar,
)
from fewstep.export.lower.patterns.group_norm import activation_of, image_row
from fewstep.export.lower.tape import Tape, shape_of

X, WEIGHT, BIAS, EMBEDDING, RESIDUAL = range(5)


def standard(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Conv of images and of rows, and of volumes of depth one."""
    if node.op_type != "Conv" or node.domain:
        return None
    x, weight, bias = required(node, 0), required(node, 1), operand(node, 2)
    rank = len(shape_of(x)) - 2
    kernel = shape_of(weight)[2:]
    strides, dilations = (list(attribute(node, name, [1] * rank)) for name in ("strides", "dilations"))
    begin, end = _padding(node, kernel, strides, dilations)
    out = shape_of(node.outputs[0])
    if rank == 1:
        x, weight = (tape.reshape(v, (*shape_of(v)[:2], 1, shape_of(v)[2])) for v in (x, weight))
        strides, dilations, begin, end = [1, *strides], [1, *dilations], [0, *begin], [0, *end]
        flat = (*out[:2], 1, out[2])
    elif rank == 3 and shape_of(x)[2] == out[2] == 1 and begin[0] % dilations[0] == 0:
        index = begin[0] // dilations[0]
        x = tape.reshape(x, (*shape_of(x)[:2], *shape_of(x)[3:]))
        one = tape.slice(weight, 2, index, index + 1)
        weight = tape.reshape(one, (*shape_of(one)[:2], *shape_of(one)[3:]))
        strides, dilations, begin, end = strides[1:], dilations[1:], begin[1:], end[1:]
        flat = (*out[:2], *out[3:])
    elif rank == 2:
        flat = out
    else:
        raise LoweringError.of(node, f"it is over {rank} axes, of sizes {shape_of(x)[2:]}; expected at most 2")
    attributes = {
        "stride": strides,
        "padding": [*begin, *end],
        "dilation": dilations,
        "groups": attribute(node, "group", 1),
        "activation": "",
        "scale": 1.0,
        "upsample": 1,
    }
    return tape.reshape(tape.fused("conv2d", [x, weight, bias, None, None], flat, attributes), out)


def _padding(
    node: ir.Node, kernel: tuple[int, ...], strides: list[int], dilations: list[int]
) -> tuple[list[int], list[int]]:
    rank, kind = len(kernel), attribute(node, "auto_pad", "NOTSET")
    if kind == "NOTSET":
        pads = list(attribute(node, "pads", [0] * (2 * rank)))
        return pads[:rank], pads[rank:]
    sizes, out = shape_of(required(node, 0))[2:], shape_of(node.outputs[0])[2:]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    total = [max((o - 1) * s + r - n, 0) for o, s, r, n in zip(out, strides, reach, sizes, strict=True)]
    low = [t // 2 for t in total]
    high = [t - half for t, half in zip(total, low, strict=True)]
    return {"VALID": ([0] * rank, [0] * rank), "SAME_UPPER": (low, high)}.get(kind, (high, low))


def padded(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Zeros around its input are the convolution's own."""
    if node.op_type != "Conv" or node.domain or attribute(node, "auto_pad", "NOTSET") != "NOTSET":
        return None
    pad = producer(node.inputs[0], "Pad")
    if pad is None or attribute(pad, "mode", "constant") != "constant" or operand(pad, 3) is not None:
        return None
    value = scalar(operand(pad, 2)) if operand(pad, 2) is not None else 0.0
    amounts = small_constant(operand(pad, 1))
    rank = len(shape_of(required(node, 0)))
    if value != 0 or amounts is None or (amounts < 0).any() or amounts[[0, 1, rank, rank + 1]].any():
        return None
    own = np.array(attribute(node, "pads", [0] * (2 * rank - 4)))
    pads = (own + np.concatenate([amounts[2:rank], amounts[rank + 2 :]])).tolist()
    inputs = [pad.inputs[0], *node.inputs[1:]]
    return tape.node("Conv", inputs, [shape_of(node.outputs[0])], {**node.attributes, "pads": pads})[0]


def repeated(node: ir.Node, tape: Tape) -> ir.Value | None:
    """Of an image whose every pixel is repeated 2 x 2: Reshape, Expand, Reshape."""
    conv = node if node.op_type == "conv2d" else None
    after = producer(conv.inputs[X], "Reshape") if conv and conv.attributes["upsample"].value == 1 else None
    expand = producer(after.inputs[0], "Expand") if after else None
    before = producer(expand.inputs[0], "Reshape") if expand else None
    if conv is None or after is None or expand is None or before is None or not is_alone(after.outputs[0]):
        return None
    x = required(before, 0)
    if len(shape_of(x)) != 4:
        return None
    B, C, H, W = shape_of(x)
    if shape_of(expand.outputs[0]) != (B, C, H, 2, W, 2) or shape_of(before.outputs[0]) != (B, C, H, 1, W, 1):
        return None
    return _again(conv, tape, [x, *conv.inputs[1:]], upsample=2) if shape_of(after.outputs[0])[2] == 2 * H else None


def added(node: ir.Node, tape: Tape) -> ir.Value | None:
    """A bias per channel, an embedding per image and channel, or an image."""
    if node.op_type != "Add" or node.domain:
        return None
    for y, other in orders(node):
        conv, shape = sole(y, "conv2d"), shape_of(node.outputs[0])
        if conv is None or shape_of(y) != shape or conv.attributes["activation"].value or _scale(conv) != 1:
            continue
        inputs = list(conv.inputs)
        per_image = image_row(other, shape, tape)
        if inputs[BIAS] is None and is_constant(other) and is_along(shape_of(other), 4, 1, shape[1]):
            inputs[BIAS] = tape.reshape(other, shape[1:2])
        elif inputs[EMBEDDING] is None and per_image is not None:
            inputs[EMBEDDING] = per_image
        elif inputs[RESIDUAL] is None and prod(shape_of(other)) > 1:
            inputs[RESIDUAL] = tape.expand(other, shape)
        else:
            continue
        return _again(conv, tape, inputs)
    return None


def scaled(node: ir.Node, tape: Tape) -> ir.Value | None:
    found = with_scalar(node, "Mul")
    conv = sole(found[0], "conv2d") if found else None
    if conv is None or found is None or conv.attributes["activation"].value:
        return None
    return _again(conv, tape, list(conv.inputs), scale=_scale(conv) * found[1])


def activated(node: ir.Node, tape: Tape) -> ir.Value | None:
    activation = activation_of(node)
    conv = sole(operand(node, 0), "conv2d") if activation else None
    if conv is None or activation is None or conv.attributes["activation"].value:
        return None
    return _again(conv, tape, list(conv.inputs), activation=activation)


def _scale(conv: ir.Node) -> float:
    return conv.attributes["scale"].as_float()


def _again(
    conv: ir.Node,
    tape: Tape,
    inputs: list[ir.Value | None],
    **changed: str | float | int,
) -> ir.Value:
    tape.name = conv.name or tape.name
    return tape.fused("conv2d", inputs, shape_of(conv.outputs[0]), {**conv.attributes, **changed})

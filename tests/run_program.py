"""A slow interpreter of programs (docs/plan.md) in numpy: what every device has to equal.

The arena is bytes of NaN, so what was never written is seen; views are strides into it, nothing else.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.noise import normal
from fewstep.export.lower.program import Op, Program, Stage, Value
from fewstep.export.lower.weights import NUMPY, Weight

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def run_program(
    program: Program, weights: Mapping[str, Weight], inputs: Mapping[str, Array], steps: int = 1
) -> dict[str, Array]:
    """The outputs of one run, the plan opened anew."""
    return Machine(program, weights).run(inputs, steps)


class Machine:
    def __init__(self, program: Program, weights: Mapping[str, Weight]) -> None:
        self.program = program
        self._weights = {name: weight.array().reshape(-1) for name, weight in weights.items()}
        self._arena = np.full(program.arena, 255, np.uint8)
        if program.schedule is not None:
            for name in ("tau", "coefficients", "scales"):
                entry = program.schedule[name]
                self.view(entry["value"])[...] = weights[entry["tensor"]].array()
            self._run_stages("tables", 0, 0)

    def run(self, inputs: Mapping[str, Array], steps: int = 1, first: int = 0) -> dict[str, Array]:
        assert inputs.keys() == self.program.inputs.keys()
        for name, index in self.program.inputs.items():
            self.view(index)[...] = inputs[name]
        if self.program.schedule is None:
            self._run_stages("network", 0, 0)
        else:
            row = self.program.schedule["counts"][str(steps)]
            for name in ("prompt", "modulation"):
                self._run_stages(name, row, 0, steps)
            self._run_stages("start", row + first, first)
            for i in range(first, steps):
                self._run_stages("step", row + i, i)
            self._run_stages("finish", row, 0)
        return {name: self.view(index).copy() for name, index in self.program.outputs.items()}

    def _run_stages(self, name: str, row: int, step: int, steps: int = 0) -> None:
        for stage in self.program.stages:
            if stage.name == name and stage.steps in (0, steps):
                self._run(stage, row, step)

    def _run(self, stage: Stage, row: int, step: int) -> None:
        for op in stage.ops:
            inputs: Inputs = [None if index is None else self._read(index, row, step) for index in op.inputs]
            if op.op == "initial_state":
                inputs.append(self.program.values[op.outputs[0]].shape)
            results = OPS[op.op](op, inputs, step)
            if op.op == "sampler_step":  # sets the flag, never clears it
                results[2] = results[2] | self.view(op.outputs[2])
            for index, result in zip(op.outputs, results, strict=True):
                target = self.view(index, row, step)
                result = np.broadcast_to(result, target.shape) if op.op == "map" else result
                assert result.shape == target.shape, (op, result.shape, target.shape)
                if target.dtype.kind == "V" or result.dtype.kind != "f" or target.dtype.kind == "f":
                    target[...] = result
                else:
                    target[...] = np.where(np.isfinite(result), result, 0)

    def _read(self, index: int, row: int, step: int) -> Array:
        view = self.view(index, row, step)
        return view.astype(np.float32) if view.dtype.kind not in "iu" else view.copy()

    def view(self, index: int, row: int = 0, step: int = 0) -> Array:
        value = self.program.values[index]
        start = value.offset + row * value.row + step * value.step
        return _strided(self._block(value), value, start)

    def _block(self, value: Value) -> Array:
        if value.weight is not None:
            return self._weights[value.weight]
        assert value.buffer is not None
        offset, size = self.program.buffers[value.buffer]
        return self._arena[offset : offset + size].view(NUMPY[value.type])


def _strided(block: Array, value: Value, start: int) -> Array:
    last = start + sum((n - 1) * stride for n, stride in zip(value.shape, value.strides, strict=True))
    assert start >= 0 and last < len(block), f"{value} lies outside of its {len(block)} elements"
    steps = [stride * block.itemsize for stride in value.strides]
    return np.lib.stride_tricks.as_strided(block[start:], value.shape, steps)


Inputs = list[Any]
Run = Callable[[Op, Inputs, int], list[Array]]


def _optional(inputs: Inputs, count: int) -> Inputs:
    return [*inputs, *[None] * (count - len(inputs))]


def _erf(x: Array) -> Array:
    import torch

    return np.asarray(torch.erf(torch.from_numpy(np.ascontiguousarray(x))).numpy())


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))


ONE: dict[str, Callable[[Array], Any]] = {
    "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x, "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "tanh": np.tanh,
    "erf": _erf, "sigmoid": _sigmoid, "silu": lambda x: x * _sigmoid(x), "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / np.float32(np.sqrt(2)))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "floor": np.floor, "ceil": np.ceil, "round": np.round, "sign": np.sign, "not": lambda x: x == 0,
}  # fmt: skip
TWO: dict[str, Callable[[Array, Array], Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power, "min": np.minimum,
    "max": np.maximum, "less": np.less, "greater": np.greater, "equal": np.equal,
    "and": lambda a, b: (a != 0) & (b != 0), "or": lambda a, b: (a != 0) | (b != 0), "mod": np.mod,
}  # fmt: skip


def _act(name: str, x: Array) -> Array:
    return np.asarray(ONE[name](x)) if name else x


def _map(op: Op, inputs: Inputs, step: int) -> list[Array]:
    code = op.attributes["code"]
    if not code:
        return [inputs[0]]
    registers = [np.asarray(x, np.float32) for x in inputs]
    with np.errstate(all="ignore"):
        for name, *operands in code:
            if name == "const":
                result: Any = operands[0]
            elif name == "where":
                condition, then, other = (registers[k] for k in operands)
                result = np.where(condition != 0, then, other)
            else:
                result = (ONE | TWO)[name](*(registers[k] for k in operands))
            registers.append(np.asarray(result, np.float32))
    return [registers[-1]]


def _conv2d(op: Op, inputs: Inputs, step: int) -> list[Array]:
    import torch

    x, weight, bias, embedding, residual = (
        None if a is None else torch.from_numpy(np.ascontiguousarray(a)) for a in _optional(inputs, 5)
    )
    assert x is not None and weight is not None
    a = op.attributes
    x = x if a["upsample"] == 1 else x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    top, left, bottom, right = a["padding"]
    x = torch.nn.functional.pad(x, (left, right, top, bottom))
    y = torch.conv2d(x, weight, bias, a["stride"], 0, a["dilation"], a["groups"])
    y = y if embedding is None else y + embedding[:, :, None, None]
    y = y if residual is None else y + residual
    return [_act(a["activation"], (y * a["scale"]).numpy())]


def _matmul(op: Op, inputs: Inputs, step: int) -> list[Array]:
    x, b, bias, gate, residual = _optional(inputs, 5)
    a = op.attributes
    y = np.matmul(x, b) * np.float32(a["scale"])
    y = y if bias is None else y + bias
    if a["glu"]:
        first, second = np.split(y, 2, axis=-1)
        value, gating = (first, second) if a["glu"] == "value_first" else (second, first)
        y = value * _act(a["activation"], gating)
    else:
        y = _act(a["activation"], y)
    y = y if gate is None else gate * y
    return [y if residual is None else residual + y]


def _group_norm(op: Op, inputs: Inputs, step: int) -> list[Array]:
    x, weight, bias, scale, shift, residual = _optional(inputs, 6)
    x = x if residual is None else x + residual
    tail = (1,) * (x.ndim - 2)
    groups = x.reshape(x.shape[0], op.attributes["groups"], -1).astype(np.float64)
    mean, var = groups.mean(-1, keepdims=True), groups.var(-1, keepdims=True)
    y = ((groups - mean) / np.sqrt(var + op.attributes["eps"])).reshape(x.shape)
    y = y if weight is None else y * weight.reshape(-1, *tail)
    y = y if bias is None else y + bias.reshape(-1, *tail)
    y = y if scale is None else y * (1 + scale.reshape(*scale.shape, *tail))
    y = y if shift is None else y + shift.reshape(*shift.shape, *tail)
    return [_act(op.attributes["activation"], y.astype(np.float32)), x][: len(op.outputs)]


def _norm(op: Op, inputs: Inputs, step: int) -> list[Array]:
    x, weight, bias, scale, shift = _optional(inputs, 5)
    wide = x.astype(np.float64)
    centred = wide - wide.mean(-1, keepdims=True) if op.op == "layer_norm" else wide
    y = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + op.attributes["eps"])
    y = y if weight is None else y * weight
    y = y if bias is None else y + bias
    y = y if scale is None else y * (1 + scale)
    return [(y if shift is None else y + shift).astype(np.float32)]


def _attention(op: Op, inputs: Inputs, step: int) -> list[Array]:
    q, k, v, mask = _optional(inputs, 4)
    heads = np.arange(q.shape[1]) // (q.shape[1] // k.shape[1])
    scores = np.float32(op.attributes["scale"]) * (q @ k[:, heads].swapaxes(2, 3))
    scores = scores if mask is None else scores + mask
    if op.attributes["causal"]:
        scores = np.where(np.tri(*scores.shape[2:]) > 0, scores, -np.inf)
    return [_softmax(op, [scores], step)[0] @ v[:, heads]]


def _softmax(op: Op, inputs: Inputs, step: int) -> list[Array]:
    (x,) = inputs
    y = np.exp(x - x.max(-1, keepdims=True))
    return [y / y.sum(-1, keepdims=True)]


def _reduce(op: Op, inputs: Inputs, step: int) -> list[Array]:
    (x,) = inputs
    axes = tuple(range(x.ndim - op.attributes["axes"], x.ndim))
    return [np.asarray(getattr(x, op.attributes["kind"])(axis=axes))]


def _gather(op: Op, inputs: Inputs, step: int) -> list[Array]:
    table, indices = inputs
    assert indices.min() >= 0 and indices.max() < len(table)
    return [table[indices]]


def _noise(seeds: Array, step: int, shape: tuple[int, ...]) -> Array:
    return normal(np.asarray(seeds, np.int64).view(np.uint64).tolist(), step, shape[1:]).reshape(shape)


def _initial_state(op: Op, inputs: Inputs, step: int) -> list[Array]:
    seeds, scales, shape = inputs
    z = _noise(seeds, 0, shape)
    return [scales[0] * z, scales[1] * (scales[0] * z)]


def _sampler_step(op: Op, inputs: Inputs, step: int) -> list[Array]:
    x, m, row, drawn, m2, history, mask, known = _optional(inputs, 8)
    a, b, c, p, q, d, e, r, s, *guided = row
    predicted, clean = b * m, p * x + q * m
    if m2 is not None:
        predicted, clean = predicted + guided[0] * m2, clean + guided[1] * m2
    y = np.clip(clean, -r, r)
    out = a * x + predicted
    out = out + d * y if d else out
    out = out + e * history if e else out
    if c:
        out = out + c * (drawn if drawn.dtype == np.float32 else _noise(drawn, step + 1, x.shape))
    out = out if mask is None else mask * out + (1 - mask) * known
    u = s * out
    flag = (~np.isfinite(u)).reshape(len(u), -1).any(1)
    return [out, u, flag, y][: len(op.outputs)]


def _to_uint8(op: Op, inputs: Inputs, step: int) -> list[Array]:
    (x,) = inputs
    y = np.clip(np.rint((x * op.attributes["scale"] + op.attributes["shift"] + 1) * 127.5), 0, 255)
    return [np.nan_to_num(y).astype(np.uint8).transpose(0, 2, 3, 1)]


OPS: dict[str, Run] = {
    "map": _map, "conv2d": _conv2d, "matmul": _matmul, "group_norm": _group_norm, "layer_norm": _norm,
    "rms_norm": _norm, "attention": _attention, "softmax": _softmax, "reduce": _reduce, "gather": _gather,
    "initial_state": _initial_state, "sampler_step": _sampler_step, "to_uint8": _to_uint8,
}  # fmt: skip

"""ONNX's elementwise operations as lines of map code (docs/plan.md)."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from fewstep.errors import LoweringError

Line = list[Any]  # ["add", 0, 2] or ["const", 1.5]
SAME = {
    "Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Pow": "pow", "Neg": "neg", "Abs": "abs", "Sqrt": "sqrt",
    "Reciprocal": "reciprocal", "Exp": "exp", "Log": "log", "Sin": "sin", "Cos": "cos", "Tanh": "tanh", "Erf": "erf",
    "Sigmoid": "sigmoid", "Relu": "relu", "Floor": "floor", "Ceil": "ceil", "Round": "round", "Sign": "sign",
    "Not": "not", "Less": "less", "Greater": "greater", "Equal": "equal", "And": "and", "Or": "or", "Where": "where",
    "silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_tanh", "rsqrt": "rsqrt",
}  # fmt: skip
FOLDED = {"Min": "min", "Max": "max", "Sum": "add"}  # of any number of inputs
INTEGERS = {ir.DataType.INT64, ir.DataType.INT32, ir.DataType.UINT8}


class Code:
    """Map code while it is written: inputs are numbered ~0, ~1, ..., lines 0, 1, ...; equal lines are one."""

    def __init__(self) -> None:
        self.operands: list[ir.Value] = []
        self._lines: dict[tuple[Any, ...], int] = {}

    def operand(self, value: ir.Value) -> int:
        if value not in self.operands:
            self.operands.append(value)
        return ~self.operands.index(value)

    def line(self, name: str, *registers: int) -> int:
        return self._lines.setdefault((name, *registers), len(self._lines))

    def const(self, number: float) -> int:
        """JSON has no infinities: they are logarithms of zero."""
        if math.isnan(number):
            raise LoweringError("a constant of a map: expected a number, got NaN")
        if math.isinf(number):
            infinity = self.line("log", self.const(0.0))
            return infinity if number < 0 else self.line("neg", infinity)
        return self._lines.setdefault(("const", float(number), math.copysign(1, number)), len(self._lines))

    def finished(self, last: int) -> list[Line]:
        """The code whose value is register `last`: empty for a copy of the only operand."""
        if last < 0:
            assert len(self.operands) == 1 and not self._lines
            return []
        count = len(self.operands)
        lines = [
            [key[0], key[1]] if key[0] == "const" else [key[0], *(~r if r < 0 else count + r for r in key[1:])]
            for key in self._lines
        ]
        return lines[: last + 1]


def is_elementwise(node: ir.Node) -> bool:
    return node.op_type in SAME or node.op_type in FOLDED or node.op_type in SPECIAL


def write(node: ir.Node, registers: Sequence[int | None], code: Code) -> int:
    """The node's value from those of its inputs, None for one left out."""
    given = [register for register in registers if register is not None]
    if node.op_type in SPECIAL:
        return SPECIAL[node.op_type](node, registers, code)
    if node.op_type in FOLDED:
        out = given[0]
        for register in given[1:]:
            out = code.line(FOLDED[node.op_type], out, register)
        return out
    if node.op_type == "Div" and node.outputs[0].dtype in INTEGERS:
        return _truncated(code.line("div", *given), code)
    return code.line(SAME[node.op_type], *given)


def _truncated(x: int, code: Code) -> int:
    return code.line("mul", code.line("sign", x), code.line("floor", code.line("abs", x)))


def _cast(node: ir.Node, registers: Sequence[int | None], code: Code) -> int:
    (x,) = registers
    assert x is not None and node.inputs[0] is not None
    source, target = node.inputs[0].dtype, node.outputs[0].dtype
    if target == ir.DataType.BOOL and source != target:
        return code.line("not", code.line("equal", x, code.const(0.0)))
    if target in INTEGERS and source not in {*INTEGERS, ir.DataType.BOOL}:
        return _truncated(x, code)
    return x


def _clip(node: ir.Node, registers: Sequence[int | None], code: Code) -> int:
    x, *bounds = registers
    assert x is not None
    for name, bound in zip(("max", "min"), bounds, strict=False):
        x = x if bound is None else code.line(name, x, bound)
    return x


def _gelu(node: ir.Node, registers: Sequence[int | None], code: Code) -> int:
    attribute = node.attributes.get("approximate")
    tanh = attribute is not None and attribute.as_string() == "tanh"
    (x,) = registers
    assert x is not None
    return code.line("gelu_tanh" if tanh else "gelu", x)


def _or_equal(node: ir.Node, registers: Sequence[int | None], code: Code) -> int:
    a, b = registers
    assert a is not None and b is not None
    name = "less" if node.op_type == "LessOrEqual" else "greater"
    return code.line("or", code.line(name, a, b), code.line("equal", a, b))


def _mod(node: ir.Node, registers: Sequence[int | None], code: Code) -> int:
    fmod = node.attributes.get("fmod")
    if fmod is not None and fmod.as_int():
        raise LoweringError(f"node {node.name}: Mod with fmod = 1 has no instruction; the backend onnxruntime runs it")
    a, b = registers
    assert a is not None and b is not None
    return code.line("sub", a, code.line("mul", b, code.line("floor", code.line("div", a, b))))


SPECIAL: Mapping[str, Callable[[ir.Node, Sequence[int | None], Code], int]] = {
    "Cast": _cast, "Clip": _clip, "Gelu": _gelu, "LessOrEqual": _or_equal, "GreaterOrEqual": _or_equal, "Mod": _mod,
}  # fmt: skip

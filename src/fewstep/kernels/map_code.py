"""The instructions of `map` (docs/plan.md): what each computes, for PyTorch and for Triton, in fp32.

Truth is 1 and 0. An instruction is ("const", value), or a name and the registers that it reads.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.activation import gelu, gelu_tanh, silu

Instruction = Sequence[Any]  # a name and what it reads
MAX_INPUTS = 16
MAX_CODE = 256
FUNCTIONAL = torch.nn.functional
UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": torch.neg, "abs": torch.abs, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal,
    "exp": torch.exp, "log": torch.log, "sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh, "erf": torch.erf,
    "sigmoid": torch.sigmoid, "silu": FUNCTIONAL.silu, "relu": torch.relu,
    "gelu": FUNCTIONAL.gelu, "gelu_tanh": lambda x: FUNCTIONAL.gelu(x, approximate="tanh"),
    "floor": torch.floor, "ceil": torch.ceil, "round": torch.round, "sign": lambda x: x.sign() + 0 * x,
    "not": lambda x: (x == 0).to(x.dtype),
}  # fmt: skip
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow,
    "min": torch.minimum, "max": torch.maximum,
    "less": lambda a, b: (a < b).to(a.dtype),
    "greater": lambda a, b: (a > b).to(a.dtype),
    "equal": lambda a, b: (a == b).to(a.dtype),
    "and": lambda a, b: ((a != 0) & (b != 0)).to(a.dtype),
    "or": lambda a, b: ((a != 0) | (b != 0)).to(a.dtype),
    "mod": torch.remainder,
}  # fmt: skip
ARITY = {"const": 0} | dict.fromkeys(UNARY, 1) | dict.fromkeys(BINARY, 2) | {"where": 3}


def execute(instruction: Instruction, registers: Sequence[Tensor], like: Tensor) -> Tensor:
    """What an instruction gives in the dtype of its operands; like: a tensor as a constant is to be."""
    name, *operands = instruction
    if name == "const":
        return torch.full_like(like, operands[0])
    values = [registers[k] for k in operands]
    if name == "where":
        return torch.where(values[0] != 0, values[1], values[2])
    return UNARY[name](*values) if name in UNARY else BINARY[name](*values)


def check_code(code: Sequence[Instruction], inputs: int) -> None:
    """Raises InputError for what docs/plan.md does not allow."""
    if len(code) > MAX_CODE:
        raise InputError(f"code: expected at most {MAX_CODE} instructions, got {len(code)}")
    if not code and inputs != 1:
        raise InputError(f"code: expected instructions, or one input to copy, got none for {inputs} inputs")
    for k, (name, *operands) in enumerate(code):
        count = ARITY.get(name)
        if count is None or len(operands) != max(1, count):
            raise InputError(f"code {k}: expected an instruction and its operands, got {[name, *operands]!r}")
        if name == "const":
            if isinstance(operands[0], bool) or not isinstance(operands[0], int | float):
                raise InputError(f"code {k}: expected a number, got {operands[0]!r}")
        elif not all(type(r) is int and 0 <= r < inputs + k for r in operands):
            raise InputError(f"code {k}: expected registers below {inputs + k}, got {[name, *operands]!r}")


def tables(code: Sequence[Instruction]) -> dict[str, tuple[Any, ...]]:
    """The code as the kernel's constants: names, three registers each, and the numbers of constants."""
    registers = [(0, 0, 0) if name == "const" else (*operands, 0, 0)[:3] for name, *operands in code]
    first, second, third = zip(*registers, strict=True) if code else ((), (), ())
    numbers = tuple(float(operands[0]) if name == "const" else 0.0 for name, *operands in code)
    if any(math.isfinite(number) and abs(number) > torch.finfo(torch.float32).max for number in numbers):
        raise InputError(f"code: expected constants within float32, got {max(numbers, key=abs)}")
    return {"NAMES": tuple(name for name, *_ in code), "A": first, "B": second, "C": third, "NUMBERS": numbers}


@triton.jit
def evaluate(NAME: tl.constexpr, a, b, c):
    """One instruction of fp32 registers."""
    if NAME == "add":
        y = a + b
    elif NAME == "sub":
        y = a - b
    elif NAME == "mul":
        y = a * b
    elif NAME == "div":
        y = a / b
    elif NAME == "pow":
        y = _power(a, b)
    elif NAME == "min":
        y = tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)
    elif NAME == "max":
        y = tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)
    elif NAME == "less":
        y = tl.where(a < b, 1.0, 0.0)
    elif NAME == "greater":
        y = tl.where(a > b, 1.0, 0.0)
    elif NAME == "equal":
        y = tl.where(a == b, 1.0, 0.0)
    elif NAME == "and":
        y = tl.where((a != 0) & (b != 0), 1.0, 0.0)
    elif NAME == "or":
        y = tl.where((a != 0) | (b != 0), 1.0, 0.0)
    elif NAME == "mod":
        y = a - tl.floor(a / b) * b
    elif NAME == "where":
        y = tl.where(a != 0, b, c)
    else:
        y = _function(NAME, a)
    return y


@triton.jit
def _function(NAME: tl.constexpr, x):
    if NAME == "neg":
        y = -x
    elif NAME == "abs":
        y = tl.abs(x)
    elif NAME == "sqrt":
        y = tl.sqrt(x)
    elif NAME == "rsqrt":
        y = tl.rsqrt(x)
    elif NAME == "reciprocal":
        y = 1 / x
    elif NAME == "exp":
        y = tl.exp(x)
    elif NAME == "log":
        y = tl.log(x)
    elif NAME == "sin":
        y = tl.sin(x)
    elif NAME == "cos":
        y = tl.cos(x)
    elif NAME == "erf":
        y = tl.erf(x)
    elif NAME == "tanh":
        y = _tanh(x)
    elif NAME == "sigmoid":
        y = _sigmoid(x)
    elif NAME == "silu":
        y = silu(x)
    elif NAME == "relu":
        y = tl.where(x < 0, 0.0, x)  # a NaN stays one
    elif NAME == "gelu":
        y = gelu(x)
    elif NAME == "gelu_tanh":
        y = gelu_tanh(x)
    elif NAME == "floor":
        y = tl.floor(x)
    elif NAME == "ceil":
        y = tl.ceil(x)
    elif NAME == "round":
        y = _round(x)
    elif NAME == "sign":
        y = tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, x))
    else:
        tl.static_assert(NAME == "not")
        y = tl.where(x == 0, 1.0, 0.0)
    return y


@triton.jit
def _power(a, b):
    """In fp64, or the exponent's rounding would show in the result; the sign of a negative base apart."""
    log = tl.log2(tl.abs(a).to(tl.float64))
    y = tl.where(b == 0, 1.0, tl.exp2(log * b.to(tl.float64)).to(tl.float32))
    is_odd = b - 2 * tl.floor(b / 2) == 1
    signed = tl.where(is_odd, -y, tl.where(b == tl.floor(b), y, float("nan")))
    return tl.where(a < 0, signed, y)


@triton.jit
def _sigmoid(x):
    e = tl.exp2(-tl.abs(x) * 1.4426950408889634)  # at most 1: nothing overflows
    return tl.where(x < 0, e, 1.0) / (1 + e)


@triton.jit
def _tanh(x):
    """Near 0, where 1 - exp(-2 |x|) loses its digits, Taylor's series to x**7."""
    e = tl.exp2(-tl.abs(x) * 2.8853900817779268)
    far = tl.where(x < 0, e - 1, 1 - e) / (1 + e)
    s = x * x
    near = x + x * s * (-0.3333333333 + s * (0.1333333333 + s * -0.0539682540))
    return tl.where(s < 0.04, near, far)


@triton.jit
def _round(x):
    """Half to even: from 2**23 on fp32 has no fractions."""
    a = tl.abs(x)
    rounded = a + 8388608.0 - 8388608.0
    return tl.where(a < 8388608.0, tl.where(x < 0, -rounded, rounded), x)

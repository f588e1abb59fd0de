"""Corrects what Triton's interpreter computes wrongly, so that kernels can be tested on a CPU in bf16 and fp8 too.

Without this its bf16 tl.dot multiplies bit patterns, fp32 to bf16 truncates, and fp8 casts lose the mantissa's carry.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

TORCH = {"bf16": torch.bfloat16, "fp8e4nv": torch.float8_e4m3fn, "fp8e5": torch.float8_e5m2}
BITS = {"bf16": np.uint16, "fp8e4nv": np.uint8, "fp8e5": np.uint8}


def to_float32(data: Any, kind: Any) -> Any:
    """data: as the interpreter stores triton dtype kind."""
    if kind.name not in TORCH:
        return data.astype(np.float32)
    bits = torch.from_numpy(np.ascontiguousarray(data).view(BITS[kind.name]).astype(BITS[kind.name]))
    return bits.view(TORCH[kind.name]).float().numpy()


def from_float32(values: Any, kind: Any) -> Any:
    """Round to nearest even; fp8 saturates, as a GPU's conversion does."""
    if kind.name not in TORCH:
        return values
    x = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    if kind.name.startswith("fp8"):
        limit = torch.finfo(TORCH[kind.name]).max
        x = torch.where(x.isnan(), x, x.clamp(-limit, limit))
    raw = x.to(TORCH[kind.name]).view(torch.uint16 if kind.name == "bf16" else torch.uint8)
    return raw.numpy()


def correct(patch: pytest.MonkeyPatch) -> None:
    """Patch the interpreter for the time of a test."""
    import triton.language as tl
    from triton.runtime import interpreter

    builder = interpreter.InterpreterBuilder
    convert, dot = interpreter._convert_float, builder.create_dot

    def convert_float(data: Any, source: Any, target: Any, rounding: Any) -> Any:
        if rounding not in (None, interpreter._ir.ROUNDING_MODE.RTNE):
            return convert(data, source, target, rounding)
        if source.name not in TORCH and target.name not in TORCH:
            return convert(data, source, target, rounding)
        values = to_float32(data, source)
        wide = values if target.name in TORCH else values.astype(interpreter._get_np_dtype(target))
        bits = from_float32(values, target) if target.name in TORCH else wide
        return bits.view(getattr(np, f"uint{target.primitive_bitwidth}")).reshape(data.shape)

    def create_dot(self: Any, a: Any, b: Any, d: Any, *options: Any) -> Any:
        def widened(x: Any) -> Any:
            if x.dtype.scalar.name not in TORCH:
                return x
            return interpreter.TensorHandle(to_float32(x.data, x.dtype.scalar), tl.float32)

        return dot(self, widened(a), widened(b), d, *options)

    # Each call of a device function patches triton.language anew, which takes most of a kernel's time: once is enough.
    call, launch, ready = interpreter.InterpretedFunction.__call__, interpreter.GridExecutor.__call__, set[str]()

    def call_prepared(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.fn.__module__ in ready:
            return self.rewrite()(*args, **kwargs)
        ready.add(self.fn.__module__)
        return call(self, *args, **kwargs)

    def launch_anew(self: Any, *args: Any, **kwargs: Any) -> None:
        ready.clear()
        launch(self, *args, **kwargs)

    patch.setattr(interpreter.InterpretedFunction, "__call__", call_prepared)
    patch.setattr(interpreter.GridExecutor, "__call__", launch_anew)
    patch.setattr(interpreter, "_convert_float", convert_float)
    patch.setattr(builder, "create_dot", create_dot)

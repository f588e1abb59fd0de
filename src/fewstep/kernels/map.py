"""Elementwise arithmetic in one pass: y = the last register of a small program (map_code.py), whatever the strides.

Up to 16 inputs of y's shape, float16, bfloat16, float32, int64, int32 or uint8; strides of 0 repeat. Registers are
fp32; y has any of these dtypes, whole numbers truncated and held within their range, NaN as 0. Without code the one
input is copied, exactly where the dtypes are equal. y may be an input itself. Each program writes a stretch of y in
the order of its memory.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.checks import FLOATS, check_device, check_dtype, check_range, check_shape
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, present, run_all
from fewstep.kernels.map_code import MAX_INPUTS, Instruction, check_code, evaluate, execute, tables
from fewstep.kernels.strided import check_written, collapse, in_memory_order, strided_offsets
from fewstep.kernels.tuned import Config, tuned

DTYPES = (*FLOATS, torch.int64, torch.int32, torch.uint8)
LIMITS = {  # the least and the greatest float32 within a dtype
    torch.int64: (-(2.0**63), 2.0**63 - 2.0**39),
    torch.int32: (-(2.0**31), 2.0**31 - 2.0**7),
    torch.uint8: (0.0, 255.0),
}
MAX_ELEMENTS = 2**31 - 2**16  # counted in int32, blocks included


def map_ref(inputs: Sequence[Tensor], code: Sequence[Instruction], out: Tensor) -> Tensor:
    """What the kernel must equal, in the inputs' dtype; the result in the dtype of out."""
    registers = list(inputs)
    for instruction in code:
        registers.append(execute(instruction, registers, inputs[0] if inputs else out.float()))
    y = registers[-1]
    if out.dtype in LIMITS and (code or y.dtype != out.dtype):
        y = y.nan_to_num(0, LIMITS[out.dtype][1], LIMITS[out.dtype][0]).clamp(*LIMITS[out.dtype])
    return y.to(out.dtype)


@triton.jit
def _load(ptr, i, mask, SHAPE: tl.constexpr, STRIDES: tl.constexpr, K: tl.constexpr, IS_COPY: tl.constexpr):
    """Input K as a tuple of one register, or of none where there is no such input."""
    if ptr is None:
        registers = ()
    else:
        x = tl.load(ptr + strided_offsets(i, SHAPE, STRIDES, K * len(SHAPE)), mask=mask, other=0)
        registers = (x if IS_COPY else x.to(tl.float32),)  # type: ignore[assignment]
    return registers


@triton.jit
def _map_kernel(
    x0_ptr, x1_ptr, x2_ptr, x3_ptr, x4_ptr, x5_ptr, x6_ptr, x7_ptr,
    x8_ptr, x9_ptr, x10_ptr, x11_ptr, x12_ptr, x13_ptr, x14_ptr, x15_ptr,
    y_ptr,
    N,
    SHAPE: tl.constexpr, STRIDES: tl.constexpr, Y_STRIDES: tl.constexpr,
    NAMES: tl.constexpr, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr, NUMBERS: tl.constexpr,
    LOW: tl.constexpr, HIGH: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < N
    IS_COPY: tl.constexpr = len(NAMES) == 0 and LOW is None
    r = _load(x0_ptr, i, mask, SHAPE, STRIDES, 0, IS_COPY) + _load(x1_ptr, i, mask, SHAPE, STRIDES, 1, IS_COPY)
    r += _load(x2_ptr, i, mask, SHAPE, STRIDES, 2, IS_COPY) + _load(x3_ptr, i, mask, SHAPE, STRIDES, 3, IS_COPY)
    r += _load(x4_ptr, i, mask, SHAPE, STRIDES, 4, IS_COPY) + _load(x5_ptr, i, mask, SHAPE, STRIDES, 5, IS_COPY)
    r += _load(x6_ptr, i, mask, SHAPE, STRIDES, 6, IS_COPY) + _load(x7_ptr, i, mask, SHAPE, STRIDES, 7, IS_COPY)
    r += _load(x8_ptr, i, mask, SHAPE, STRIDES, 8, IS_COPY) + _load(x9_ptr, i, mask, SHAPE, STRIDES, 9, IS_COPY)
    r += _load(x10_ptr, i, mask, SHAPE, STRIDES, 10, IS_COPY) + _load(x11_ptr, i, mask, SHAPE, STRIDES, 11, IS_COPY)
    r += _load(x12_ptr, i, mask, SHAPE, STRIDES, 12, IS_COPY) + _load(x13_ptr, i, mask, SHAPE, STRIDES, 13, IS_COPY)
    r += _load(x14_ptr, i, mask, SHAPE, STRIDES, 14, IS_COPY) + _load(x15_ptr, i, mask, SHAPE, STRIDES, 15, IS_COPY)
    for k in tl.static_range(len(NAMES)):
        if NAMES[k] == "const":
            r += (tl.full([BLOCK], NUMBERS[k], tl.float32),)
        else:
            r += (evaluate(tl.constexpr(NAMES[k]), r[A[k]], r[B[k]], r[C[k]]),)
    y = r[len(r) - 1]
    if LOW is not None:
        y = tl.where(y == y, tl.minimum(tl.maximum(y, LOW), HIGH), 0.0)
    tl.store(y_ptr + strided_offsets(i, SHAPE, Y_STRIDES, 0), y.to(y_ptr.dtype.element_ty), mask=mask)


def map_launches(
    inputs: Sequence[Tensor],
    code: Sequence[Instruction],
    out: Tensor,
    *,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """out and the launch that writes it. Tensors on meta describe it alone, for sm_<arch>."""
    _check(inputs, code, out)
    y, *views = in_memory_order(out, *inputs)
    shape, (y_strides, *strides) = collapse(y.shape, *(x.stride() for x in (y, *views)))
    pointers = {f"x{k}_ptr": inputs[k] if k < len(inputs) else None for k in range(MAX_INPUTS)}
    args, absent = present({**pointers, "y_ptr": out, "N": out.numel()})
    is_rounded = out.dtype in LIMITS and (bool(code) or inputs[0].dtype != out.dtype)
    low, high = LIMITS[out.dtype] if is_rounded else (None, None)
    constants = {
        "SHAPE": shape, "STRIDES": sum(strides, ()), "Y_STRIDES": y_strides, "LOW": low, "HIGH": high,
    } | tables(code)  # fmt: skip
    key = f"{'x'.join(str(size) for size in shape[::-1])} {out.dtype}"
    chosen = config or tuned("map", key, arch or architecture(out)) or {"BLOCK": 1024, "num_warps": 4}
    grid = (triton.cdiv(out.numel(), chosen["BLOCK"]), 1, 1)
    return out, [Launch(_map_kernel, grid, args, absent | constants | chosen)]


def _check(inputs: Sequence[Tensor], code: Sequence[Instruction], out: Tensor) -> None:
    if len(inputs) > MAX_INPUTS:
        raise InputError(f"inputs: expected at most {MAX_INPUTS}, got {len(inputs)}")
    check_code(code, len(inputs))
    check_shape("out", out, (None,) * out.dim())
    check_range("elements of out", out.numel(), 1, MAX_ELEMENTS)
    check_written("out", out)
    named = {f"input {k}": x for k, x in enumerate(inputs)}
    for name, x in (named | {"out": out}).items():
        check_shape(name, x, tuple(out.shape))
        check_dtype(name, x, DTYPES)
    check_device(**named, out=out)


def map(inputs: Sequence[Tensor], code: Sequence[Instruction], out: Tensor) -> Tensor:
    """Writes the code's last register to out, and returns it. inputs: of out's shape. Raises InputError."""
    y, launches = map_launches(inputs, code, out)
    run_all(launches)
    return y


def map_cost(inputs: Sequence[Tensor], code: Sequence[Instruction], out: Tensor) -> Cost:
    """Repeated elements count as read once; each instruction but a constant as one operation."""
    read = sum(nbytes(x[tuple(slice(None) if stride else slice(1) for stride in x.stride())]) for x in inputs)
    return Cost(read + nbytes(out), out.numel() * sum(name != "const" for name, *_ in code))

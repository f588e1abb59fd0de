"""One attention problem, checked and with its output allocated: what every attention kernel is launched with."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.checks import (
    FLOATS,
    check_device,
    check_dtype,
    check_last_contiguous,
    check_range,
    check_shape,
)

FP8 = torch.float8_e4m3fn
MAX_D = 512
MAX_MASKED_D = 256  # with a mask or in causal order
MAX_GRID = 65535  # programs along a grid's second and third axis


@dataclass(frozen=True)
class Problem:
    """q: (B, H, N, D); k, v: (B, G, M, D); y: (B, H, N, D); lengths: (B,) or None; mask: (B, H, N, M) or None.

    scale multiplies the logits, y_scale the output; both hold the factors of fp8 inputs.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    y: Tensor
    lengths: Tensor | None
    scale: float
    y_scale: float
    arch: int
    mask: Tensor | None = None
    is_causal: bool = False

    @property
    def sizes(self) -> tuple[int, int, int, int, int, int]:
        """B, H, G, N, M, D."""
        B, H, N, D = self.q.shape
        _, G, M, _ = self.k.shape
        return B, H, G, N, M, D

    @property
    def key(self) -> str:
        B, H, _, N, M, D = self.sizes
        return f"{B}x{H}x{N}x{M}x{D} {self.q.dtype}"

    @property
    def args(self) -> dict[str, Any]:
        """The run-time parameters that the kernels share. Without lengths their pointer is q's, and is not read."""
        *_, N, M, _ = self.sizes
        (qb, qh, qn, _), (kb, kg, km, _), (vb, vg, vm, _), (yb, yh, yn, _) = (
            [stride // self.unit for stride in _strides(x)] for x in (self.q, self.k, self.v, self.y)
        )
        return {
            "q_ptr": self.q, "k_ptr": self.k, "v_ptr": self.v, "y_ptr": self.y,
            "lengths_ptr": self.q if self.lengths is None else self.lengths,
            "N": N, "M": M, "scale": self.scale / math.log(2), "y_scale": self.y_scale,
            "stride_qb": qb, "stride_qh": qh, "stride_qn": qn,
            "stride_kb": kb, "stride_kg": kg, "stride_km": km,
            "stride_vb": vb, "stride_vg": vg, "stride_vm": vm, "stride_vd": self.v.stride(3),
            "stride_yb": yb, "stride_yh": yh, "stride_yn": yn,
        }  # fmt: skip

    @property
    def mask_args(self) -> dict[str, Any]:
        """Those of the kernel that takes a mask. Without one its pointer is q's, and is not read."""
        mask = self.q if self.mask is None else self.mask
        names = ("stride_mb", "stride_mh", "stride_mn", "stride_mm")
        strides = [0] * 4 if self.mask is None else _strides(mask)
        return {"mask_ptr": mask, **dict(zip(names, strides, strict=True))}

    @property
    def unit(self) -> int:
        """In elements, what all strides but the last are counted in: 16 bytes if possible, which lets the compiler
        see that rows of 40, 72 or 80 begin at 16 bytes; from their strides it knows a multiple of 16 elements alone."""
        unit = 16 // self.q.element_size()
        tensors = (self.q, self.k, self.v, self.y)
        return unit if all(stride % unit == 0 for x in tensors for stride in _strides(x)[:-1]) else 1

    @property
    def constants(self) -> dict[str, Any]:
        _, H, G, _, _, D = self.sizes
        return {
            "GROUP": H // G,
            "D": D,
            "HAS_LENGTHS": self.lengths is not None,
            "UNIT": self.unit,
            "IS_FP8": self.q.dtype == FP8,
        }


def _strides(x: Tensor) -> list[int]:
    """0 along an axis of one element, whatever PyTorch says."""
    return [0 if size == 1 else stride for size, stride in zip(x.shape, x.stride(), strict=True)]


def check_attention(
    q: Tensor, k: Tensor, v: Tensor, lengths: Tensor | None, mask: Tensor | None = None, is_causal: bool = False
) -> None:
    check_shape("q", q, (None, None, None, None))
    B, H, _, D = q.shape
    check_shape("k", k, (B, None, None, D))
    _, G, M, _ = k.shape
    check_shape("v", v, (B, G, M, D))
    check_range("D", D, 1, MAX_D)
    check_range("B", B, 1, MAX_GRID)
    check_range("H", H, 1, MAX_GRID)
    if H % G:
        raise InputError(f"k: expected a number of heads that divides q's {H}, got {G}")
    check_dtype("q", q, (*FLOATS, FP8))
    for name, x in (("k", k), ("v", v)):
        check_dtype(name, x, (q.dtype,))
        if not (name == "v" and v.dtype == FP8 and v.stride(2) == 1):
            check_last_contiguous(name, x)
    check_last_contiguous("q", q)
    if lengths is not None:
        check_shape("lengths", lengths, (B,))
        check_dtype("lengths", lengths, (torch.int32,))
        check_last_contiguous("lengths", lengths)
    if mask is not None:
        check_shape("mask", mask, (B, H, q.shape[2], M))
        check_dtype("mask", mask)
    if mask is not None or is_causal:
        check_range("D", D, 1, MAX_MASKED_D)
        check_dtype("q", q)  # of fp8 no kernel takes a mask
    check_device(q=q, k=k, v=v, lengths=lengths, mask=mask)


def split_head(D: int, dtype: torch.dtype) -> tuple[int, int]:
    """Two block widths, the second 0 where one block serves: 72 becomes 64 + 16, since 128 would waste 56 columns."""
    least = 32 if dtype == FP8 else 16  # of the reduction of a matrix instruction
    whole = max(least, triton.next_power_of_2(D))
    half = whole // 2
    tail = max(least, triton.next_power_of_2(max(1, D - half)))
    return (half, tail) if tail < half else (whole, 0)


@triton.jit
def load_tile(
    src, rows, columns, stride_row, stride_column,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, MASK_ROWS: tl.constexpr, MASK_COLUMNS: tl.constexpr,
):  # fmt: skip
    """[ROWS, COLUMNS] at src, of which the first rows and columns exist; the others are 0 where they are masked."""
    r = tl.arange(0, ROWS).to(tl.int64)[:, None]
    c = tl.arange(0, COLUMNS).to(tl.int64)[None, :]
    pointers = src + r * stride_row + c * stride_column
    if MASK_ROWS and MASK_COLUMNS:
        tile = tl.load(pointers, mask=(r < rows) & (c < columns), other=0.0)
    elif MASK_ROWS:
        tile = tl.load(pointers, mask=r < rows, other=0.0)
    elif MASK_COLUMNS:
        tile = tl.load(pointers, mask=c < columns, other=0.0)
    else:
        tile = tl.load(pointers)
    return tile


@triton.jit
def store_tile(dst, rows, columns, stride_row, y, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Writes the first rows and columns of y: [ROWS, COLUMNS] to dst, whose columns are contiguous."""
    r = tl.arange(0, ROWS).to(tl.int64)[:, None]
    c = tl.arange(0, COLUMNS)[None, :]
    tl.store(dst + r * stride_row + c, y.to(dst.dtype.element_ty), mask=(r < rows) & (c < columns))

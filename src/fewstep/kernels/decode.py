"""A decoder's two ends: the latent scaled into it, its picture as bytes out of it.

scale_latent: y = x * scale + shift, where scale and shift are numbers or, of each channel, (C,); y is (B, C, H, W) in
channels_last and any float dtype. to_uint8: (B, H, W, C) = round((x * scale + shift + 1) * 127.5), half to even, from
0 to 255; NaN becomes 0, for whoever makes pictures reports it elsewhere. x is (B, C, H, W) with any strides;
arithmetic is fp32.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.checks import FLOATS, check_device, check_dtype, check_last_contiguous, check_range, check_shape
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, present, run_all
from fewstep.kernels.pixels import empty_channels_last, image_strides, pixel_offsets
from fewstep.kernels.tuned import Config, tuned

MAX_IMAGE = 2**30  # elements


def to_uint8_ref(x: Tensor, *, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """What the kernel must equal, bit by bit where scale is 1 and shift 0."""
    x = x.to(torch.promote_types(x.dtype, torch.float32)) * scale + shift
    levels = ((x + 1) * 127.5).round().clamp(0, 255).nan_to_num(0)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def scale_latent_ref(
    x: Tensor, scale: float | Tensor = 1.0, shift: float | Tensor = 0.0, dtype: torch.dtype | None = None
) -> Tensor:
    """What the kernel must equal, in the dtype of its inputs."""
    scale, shift = (m[:, None, None] if isinstance(m, Tensor) else m for m in (scale, shift))
    return (x * scale + shift).to(dtype or x.dtype).contiguous(memory_format=torch.channels_last)


@triton.jit
def _element_offsets(i, W, stride_c, stride_h, stride_w, C: tl.constexpr):
    """int64, of element i of (H, W, C); stride_c is None where x is in that order itself."""
    if stride_c is None:
        offsets = i.to(tl.int64)
    else:
        offsets = (i % C).to(tl.int64) * stride_c + pixel_offsets(i // C, W, stride_h, stride_w)
    return offsets


@triton.jit
def _to_uint8_kernel(
    x_ptr, y_ptr,
    N, W, scale, shift,
    stride_xb, stride_xc, stride_xh, stride_xw,
    C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(1).to(tl.int64)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x_offs = b * stride_xb + _element_offsets(i, W, stride_xc, stride_xh, stride_xw, C)
    x = tl.load(x_ptr + x_offs, mask=i < N, other=0.0).to(tl.float32)
    levels = (x * scale + shift + 1) * 127.5
    levels = tl.where(levels == levels, levels, 0.0)
    levels = tl.minimum(tl.maximum(levels, 0.0), 255.0)  # before the sum, or it would be fused with the product
    rounded = levels + 8388608.0 - 8388608.0  # 2**23: beyond it fp32 has no fractions
    tl.store(y_ptr + b * N + i, rounded.to(tl.uint8), mask=i < N)


@triton.jit
def _scale_latent_kernel(
    x_ptr, scale_ptr, shift_ptr, y_ptr,
    N, W, scale, shift,
    stride_xb, stride_xc, stride_xh, stride_xw,
    C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(1).to(tl.int64)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x_offs = b * stride_xb + _element_offsets(i, W, stride_xc, stride_xh, stride_xw, C)
    y = tl.load(x_ptr + x_offs, mask=i < N, other=0.0).to(tl.float32)
    if scale_ptr is not None:
        y *= tl.load(scale_ptr + i % C).to(tl.float32)
    else:
        y *= scale
    if shift_ptr is not None:
        y += tl.load(shift_ptr + i % C).to(tl.float32)
    else:
        y += shift
    tl.store(y_ptr + b * N + i, y.to(y_ptr.dtype.element_ty), mask=i < N)


def to_uint8_launches(
    x: Tensor, *, scale: float = 1.0, shift: float = 0.0, arch: int | None = None, config: Config | None = None
) -> tuple[Tensor, list[Launch]]:
    """The bytes, allocated, and the launch that writes them. On meta, for sm_<arch>."""
    B, C, H, W = _check(x)
    _check_numbers(scale=scale, shift=shift)
    y = torch.empty((B, H, W, C), dtype=torch.uint8, device=x.device)
    args: dict[str, object] = {
        "x_ptr": x,
        "y_ptr": y,
        "N": C * H * W,
        "W": W,
        "scale": float(scale),
        "shift": float(shift),
    }
    return y, [_launch(_to_uint8_kernel, "to_uint8", x, args, arch, config)]


def scale_latent_launches(
    x: Tensor,
    scale: float | Tensor = 1.0,
    shift: float | Tensor = 0.0,
    dtype: torch.dtype | None = None,
    *,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Tensor, list[Launch]]:
    """y, allocated, and the launch that writes it. On meta, for sm_<arch>."""
    _, C, H, W = _check(x)
    if dtype is not None and dtype not in FLOATS:
        raise InputError(f"dtype: expected float16, bfloat16 or float32, got {dtype}")
    of_channel = {name: m for name, m in (("scale", scale), ("shift", shift)) if isinstance(m, Tensor)}
    for name, m in of_channel.items():
        check_shape(name, m, (C,))
        check_dtype(name, m)
        check_last_contiguous(name, m)
    check_device(x=x, **of_channel)
    numbers = {name: float(m) for name, m in (("scale", scale), ("shift", shift)) if not isinstance(m, Tensor)}
    _check_numbers(**numbers)

    y = empty_channels_last(x, x.shape, dtype)
    args: dict[str, object] = {
        "x_ptr": x, "scale_ptr": of_channel.get("scale"), "shift_ptr": of_channel.get("shift"), "y_ptr": y,
        "N": C * H * W, "W": W, "scale": numbers.get("scale"), "shift": numbers.get("shift"),
    }  # fmt: skip
    return y, [_launch(_scale_latent_kernel, "scale_latent", x, args, arch, config)]


def to_uint8(x: Tensor, *, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """x * scale + shift, where -1 is black and 1 white, as uint8 (B, H, W, C). x: (B, C, H, W). Raises InputError."""
    y, launches = to_uint8_launches(x, scale=scale, shift=shift)
    run_all(launches)
    return y


def scale_latent(
    x: Tensor, scale: float | Tensor = 1.0, shift: float | Tensor = 0.0, dtype: torch.dtype | None = None
) -> Tensor:
    """x * scale + shift, channels_last, in dtype or x's. x: (B, C, H, W); scale, shift: numbers or (C,). Raises
    InputError."""
    y, launches = scale_latent_launches(x, scale, shift, dtype)
    run_all(launches)
    return y


def to_uint8_cost(x: Tensor, **_: object) -> Cost:
    return Cost(nbytes(x) + x.numel(), 8 * x.numel())


def scale_latent_cost(x: Tensor, *_: object, dtype: torch.dtype | None = None, **__: object) -> Cost:
    return Cost(nbytes(x) + x.numel() * (dtype or x.dtype).itemsize, 2 * x.numel())


def _check(x: Tensor) -> tuple[int, int, int, int]:
    check_shape("x", x, (None,) * 4)
    check_dtype("x", x)
    B, C, H, W = x.shape
    check_range("B", B, 1, 65535)
    check_range("C * H * W", C * H * W, 1, MAX_IMAGE)
    check_device(x=x)
    return B, C, H, W


def _check_numbers(**numbers: float) -> None:
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise InputError(f"{name}: expected a finite number, got {number!r}")


def _launch(
    kernel: object, op: str, x: Tensor, args: dict[str, object], arch: int | None, config: Config | None
) -> Launch:
    B, C, *_ = x.shape
    strides = image_strides("x", x)
    if strides["stride_xc"] == 1 and strides["stride_xw"] == C and strides["stride_xh"] is None:
        strides["stride_xc"] = None
    given, absent = present(args | strides)
    key = "x".join(map(str, x.shape)) + f" {x.dtype}"
    chosen = {"BLOCK": 1024, "num_warps": 4} | (config or tuned(op, key, arch or architecture(x)) or {})
    grid = (triton.cdiv(x[0].numel(), chosen["BLOCK"]), B, 1)
    return Launch(kernel, grid, given, absent | {"C": C} | chosen)

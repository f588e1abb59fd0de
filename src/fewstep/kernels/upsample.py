"""Nearest neighbour upsampling by two: y[b, c, h, w] = x[b, c, h // 2, w // 2], channels_last whatever x's strides.

x is (B, C, H, W), NCHW or channels_last or views of them; y is (B, C, 2 H, 2 W) in its dtype. Each pixel is read once
and written four times, its channels side by side.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.checks import check_device, check_dtype, check_range, check_shape
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, present, run_all
from fewstep.kernels.pixels import check_image, empty_channels_last, image_strides, pixel_offsets
from fewstep.kernels.tuned import Config, tuned

MAX_C = 2**20
TILE = 2048  # elements that a program of 4 warps reads: two loads of 16 bytes to a thread


def upsample2x_ref(x: Tensor) -> Tensor:
    """What the kernel must equal, exactly."""
    y = torch.nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
    return y.contiguous(memory_format=torch.channels_last)


@triton.jit
def _upsample2x_kernel(
    x_ptr, y_ptr,
    C, P, W,
    stride_xb, stride_xc, stride_xh, stride_xw,
    stride_yh,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(2).to(tl.int64)
    p = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    c = (tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    mask = (p < P)[:, None] & (c < C)[None, :]

    x_offs = b * stride_xb + pixel_offsets(p, W, stride_xh, stride_xw)[:, None] + c[None, :] * stride_xc
    x = tl.load(x_ptr + x_offs, mask=mask, other=0.0)  # [BLOCK_P, BLOCK_C]
    y_ptrs = y_ptr + b * P * 4 * C + pixel_offsets(p, W, 4 * W, 2)[:, None] * C + c[None, :]  # the left upper of four
    tl.store(y_ptrs, x, mask=mask)
    tl.store(y_ptrs + C, x, mask=mask)
    tl.store(y_ptrs + stride_yh, x, mask=mask)
    tl.store(y_ptrs + stride_yh + C, x, mask=mask)


def upsample2x_launches(
    x: Tensor, *, arch: int | None = None, config: Config | None = None
) -> tuple[Tensor, list[Launch]]:
    """y, allocated, and the launch that writes it. On meta, for sm_<arch>."""
    check_shape("x", x, (None,) * 4)
    B, C, P = check_image("x", x)
    check_range("C", C, 1, MAX_C)
    check_dtype("x", x)
    check_device(x=x)

    *_, H, W = x.shape
    y = empty_channels_last(x, (B, C, 2 * H, 2 * W))
    args, absent = present({
        "x_ptr": x, "y_ptr": y, "C": C, "P": P, "W": W, **image_strides("x", x), "stride_yh": y.stride(2),
    })  # fmt: skip
    key = f"{B}x{C}x{H}x{W} {x.dtype}"
    BLOCK_C = min(128, triton.next_power_of_2(C))
    default = {"BLOCK_P": TILE // BLOCK_C, "BLOCK_C": BLOCK_C, "num_warps": 4}
    chosen = default | (config or tuned("upsample2x", key, arch or architecture(x)) or {})
    grid = (triton.cdiv(P, chosen["BLOCK_P"]), triton.cdiv(C, chosen["BLOCK_C"]), B)
    return y, [Launch(_upsample2x_kernel, grid, args, absent | chosen)]


def upsample2x(x: Tensor) -> Tensor:
    """x with each pixel as a square of four: (B, C, 2 H, 2 W), channels_last. x: (B, C, H, W). Raises InputError."""
    y, launches = upsample2x_launches(x)
    run_all(launches)
    return y


def upsample2x_cost(x: Tensor) -> Cost:
    return Cost(5 * nbytes(x), 0)

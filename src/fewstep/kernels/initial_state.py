"""Where a generation begins: x = init * z_0 and the network's first input u = s * x, from seeds on the device.

z_0 is step 0 of each seed's stream (philox.py). seeds is int64 (B,), the bits of the uint64; scales is float32 (2,),
init and s, read on the device, so that one captured graph serves any schedule; x is float32 (B, *shape) and u, of the
same shape, has the network's dtype. Arithmetic is fp32. Salmon et al. 2011 (Philox 4x32-10).
"""

import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.checks import check_device, check_dtype, check_range, check_shape
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, run_all
from fewstep.kernels.philox import normal_row
from fewstep.kernels.tuned import Config, tuned

MAX_ROWS = 65535  # of a launch's second axis
MAX_SAMPLE = 2**38  # elements


def initial_state_ref(z: Tensor, scales: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(x, u) as the kernel must equal them, from given noise z, in its dtype; u in `dtype`."""
    x = scales[0].to(z.dtype) * z
    return x, (scales[1].to(z.dtype) * x).to(dtype)


@triton.jit
def _initial_state_kernel(seed_ptr, scale_ptr, x_ptr, u_ptr, E, BLOCK: tl.constexpr):
    b = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0).to(tl.int64) * BLOCK
    e = (first + tl.arange(0, BLOCK))[None, :]  # [1, BLOCK]
    block = (first // 4 + tl.arange(0, BLOCK // 4))[None, :]
    x = tl.load(scale_ptr) * normal_row(tl.load(seed_ptr + b), 0, block, 1, BLOCK)
    u = (tl.load(scale_ptr + 1) * x).to(u_ptr.dtype.element_ty)
    tl.store(x_ptr + b * E + e, x, mask=e < E)
    tl.store(u_ptr + b * E + e, u, mask=e < E)


def initial_state_launches(
    seeds: Tensor,
    scales: Tensor,
    shape: Sequence[int],
    dtype: torch.dtype,
    *,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[tuple[Tensor, Tensor], list[Launch]]:
    """(x, u), allocated, and the launch that writes them. Tensors on meta describe it alone, for sm_<arch>."""
    check_shape("seeds", seeds, (None,))
    check_shape("scales", scales, (2,))
    check_dtype("seeds", seeds, (torch.int64,))
    check_dtype("scales", scales, (torch.float32,))
    check_dtype("u", torch.empty(0, dtype=dtype, device="meta"))
    B, E = len(seeds), math.prod(shape)
    check_range("B", B, 1, MAX_ROWS)
    check_range("elements of the shape", E, 1, MAX_SAMPLE)
    seeds, scales = seeds.contiguous(), scales.contiguous()
    check_device(seeds=seeds, scales=scales)
    x = torch.empty((B, *shape), dtype=torch.float32, device=seeds.device)
    u = torch.empty((B, *shape), dtype=dtype, device=seeds.device)
    chosen = config or tuned("initial_state", f"{B}x{E} {dtype}", arch or architecture(seeds)) or {"BLOCK": 512}
    args = {"seed_ptr": seeds, "scale_ptr": scales, "x_ptr": x, "u_ptr": u, "E": E}
    return (x, u), [Launch(_initial_state_kernel, (triton.cdiv(E, chosen["BLOCK"]), B, 1), args, chosen)]


def initial_state(seeds: Tensor, scales: Tensor, shape: Sequence[int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Returns (x, u) of the module's formula. shape: that of one sample; dtype: of u. Raises InputError."""
    outputs, launches = initial_state_launches(seeds, scales, shape, dtype)
    run_all(launches)
    return outputs


def initial_state_cost(seeds: Tensor, scales: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Cost:
    """The noise, some 55 operations an element, as floating-point ones."""
    elements = len(seeds) * math.prod(shape)
    return Cost(nbytes(seeds, scales) + elements * (4 + dtype.itemsize), 57 * elements)

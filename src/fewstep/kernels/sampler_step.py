"""One sampler step in one pass: the state's update, its fresh noise, its history and the network's next input.

    y  = clamp(p*x + q*m, -r, r)                    with guidance: p*x + q*m + q2*m2
    x' = a*x + b*m + d*y + e*h + c*z_i;  h = y      with guidance: a*x + b*m + b2*m2 + ...
    x' = mask*x' + (1 - mask)*known                 with a mask: 1 where the picture is made anew
    u' = s*x'                                       s: s_in of the next step, or out_scale after the last

x, x' and h are float32 (B, ...); m, m2 and u' have the network's dtype. Row i of a table on the device holds step i's
coefficients (COLUMNS) and z_i is given, or step i + 1 of each seed's stream (philox.py), so one captured graph serves
any sampler, seed and prompt. Arithmetic is fp32. Song et al. 2021 (arXiv 2010.02502) and every sampler that is affine;
the mask: Lugmayr et al. 2022 (RePaint, arXiv 2201.09865, eq. 8).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, present, run_all
from fewstep.kernels.philox import normal_at, normal_row
from fewstep.kernels.sampler_step_checks import check_given, check_step, is_flat
from fewstep.kernels.tuned import Config, tuned

COLUMNS = ("a", "b", "c", "p", "q", "d", "e", "r", "s")
GUIDED_COLUMNS = (*COLUMNS, "b2", "q2")  # b and q of m_null, b2 and q2 of m_cond


def sampler_step_ref(
    x: Tensor,
    m: Tensor,
    table: Tensor,
    i: int,
    *,
    m2: Tensor | None = None,
    history: Tensor | None = None,
    z: Tensor | None = None,
    mask: Tensor | None = None,
    known: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """(x', u', y) as the kernel must equal them, in the dtype of x; the noise z is given. u' has the dtype of m."""
    row = table[..., i, :].to(x.dtype).reshape(-1, table.shape[-1], *[1] * (x.dim() - 1))
    a, b, c, p, q, d, e, r, s, *second = row.unbind(1)
    predicted, clean = b * m, p * x + q * m
    if m2 is not None:
        predicted, clean = predicted + second[0] * m2, clean + second[1] * m2
    y = clean.maximum(-r).minimum(r)
    x_next = a * x + predicted + d * y
    x_next = x_next if history is None else x_next + e * history
    x_next = x_next if z is None else x_next + c * z
    x_next = x_next if mask is None or known is None else mask * x_next + (1 - mask) * known
    return x_next, (s * x_next).to(m.dtype), y


@triton.jit(do_not_specialize=["i"])
def _sampler_step_kernel(
    x_ptr, m_ptr, m2_ptr, h_ptr, table_ptr, seed_ptr, noise_ptr, mask_ptr, known_ptr,
    x_next_ptr, u_ptr, y_ptr, flag_ptr,
    i, C, P,
    stride_xn, stride_xc, stride_xp,
    stride_mn, stride_mc, stride_mp,  # of m and of m2
    stride_hn, stride_hc, stride_hp,
    stride_zn, stride_zc, stride_zp,  # of noise
    stride_mask_n, stride_mask_c, stride_mask_p,
    stride_kn, stride_kc, stride_kp,  # of known
    stride_next_n, stride_next_c, stride_next_p,  # of x_next and of y
    stride_un, stride_uc, stride_up,
    stride_table_n, stride_table_i,
    HAS_WHOLE_BLOCKS: tl.constexpr,  # every channel begins with a Philox block
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):  # fmt: skip
    tiles_c = tl.cdiv(C, BLOCK_C)
    first_p = (tl.program_id(0) // tiles_c).to(tl.int64) * BLOCK_P
    n = tl.program_id(1).to(tl.int64)
    channel = (tl.program_id(0) % tiles_c * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)[:, None]
    pixel = first_p + tl.arange(0, BLOCK_P)[None, :]
    mask = (channel < C) & (pixel < P)  # [BLOCK_C, BLOCK_P]

    row = table_ptr + n * stride_table_n + i * stride_table_i
    a, b, c, p, q = tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3), tl.load(row + 4)
    d, e, r, s = tl.load(row + 5), tl.load(row + 6), tl.load(row + 7), tl.load(row + 8)

    x = tl.load(x_ptr + n * stride_xn + channel * stride_xc + pixel * stride_xp, mask=mask, other=0.0)
    at_m = n * stride_mn + channel * stride_mc + pixel * stride_mp
    m = tl.load(m_ptr + at_m, mask=mask, other=0.0).to(tl.float32)
    x_next = a * x + b * m
    y = p * x + q * m
    if m2_ptr is not None:
        m2 = tl.load(m2_ptr + at_m, mask=mask, other=0.0).to(tl.float32)
        x_next += tl.load(row + 9) * m2
        y += tl.load(row + 10) * m2
    y = tl.maximum(y, -r, propagate_nan=tl.PropagateNan.ALL)
    y = tl.minimum(y, r, propagate_nan=tl.PropagateNan.ALL)

    # What a coefficient of 0 leaves out may be anything, NaN too; the branches are the same for a whole program.
    if d != 0.0:
        x_next += d * y
    at_next = n * stride_next_n + channel * stride_next_c + pixel * stride_next_p
    if h_ptr is not None:
        if e != 0.0:
            h = tl.load(h_ptr + n * stride_hn + channel * stride_hc + pixel * stride_hp, mask=mask, other=0.0)
            x_next += e * h
        tl.store(y_ptr + at_next, y, mask=mask)
    if c != 0.0:
        if noise_ptr is not None:
            at_z = n * stride_zn + channel * stride_zc + pixel * stride_zp
            x_next += c * tl.load(noise_ptr + at_z, mask=mask, other=0.0)
        elif seed_ptr is not None:
            seed = tl.load(seed_ptr + n)
            if HAS_WHOLE_BLOCKS:
                block = ((channel * P + first_p) >> 2) + tl.arange(0, BLOCK_P // 4)[None, :]
                x_next += c * normal_row(seed, i + 1, block, BLOCK_C, BLOCK_P)
            else:
                x_next += c * normal_at(seed, i + 1, channel * P + pixel)
        else:
            x_next += float("nan")
    if mask_ptr is not None:
        made = tl.load(
            mask_ptr + n * stride_mask_n + channel * stride_mask_c + pixel * stride_mask_p, mask=mask, other=0.0
        )
        known = tl.load(known_ptr + n * stride_kn + channel * stride_kc + pixel * stride_kp, mask=mask, other=0.0)
        x_next = made * x_next + (1.0 - made) * known

    u = (s * x_next).to(u_ptr.dtype.element_ty)
    tl.store(x_next_ptr + at_next, x_next, mask=mask)
    tl.store(u_ptr + n * stride_un + channel * stride_uc + pixel * stride_up, u, mask=mask)
    if flag_ptr is not None:
        is_finite = tl.abs(u.to(tl.float32)) < float("inf")
        seen = tl.max((mask & (is_finite == 0)).to(tl.int32).reshape(BLOCK_C, BLOCK_P // 4, 4), axis=2)
        tl.store(flag_ptr + n + tl.zeros_like(seen), 1, mask=seen != 0)


def sampler_step_launches(
    x: Tensor,
    m: Tensor,
    table: Tensor,
    i: int,
    *,
    m2: Tensor | None = None,
    history: Tensor | None = None,
    seeds: Tensor | None = None,
    noise: Tensor | None = None,
    mask: Tensor | None = None,
    known: Tensor | None = None,
    flag: Tensor | None = None,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[tuple[Tensor, Tensor, Tensor | None], list[Launch]]:
    """(x', u', y), allocated, and the launch that writes them. Tensors on meta describe it alone, for sm_<arch>."""
    check_step(x, m, table, i, COLUMNS if m2 is None else GUIDED_COLUMNS, m2, history, seeds, flag)
    check_given(x, seeds, noise, mask, known)
    x_next, u = torch.empty_like(x), torch.empty_like(m)
    y = None if history is None else torch.empty_like(x)
    states = [x, m, x_next, u, *(x if t is None else t for t in (history, noise, mask, known))]
    planes = [t.view(len(x), 1, -1) if all(map(is_flat, states)) else t.flatten(2) for t in states]
    _, C, P = planes[0].shape
    names = ("x", "m", "next_", "u", "h", "z", "mask_", "k")
    strides = {
        f"stride_{t}{axis}": plane.stride(k)
        for t, plane in zip(names, planes, strict=True)
        for k, axis in enumerate("ncp")
    }
    given, absent = present({
        "x_ptr": x, "m_ptr": m, "m2_ptr": m2, "h_ptr": history, "table_ptr": table, "seed_ptr": seeds,
        "noise_ptr": noise, "mask_ptr": mask, "known_ptr": known,
        "x_next_ptr": x_next, "u_ptr": u, "y_ptr": y, "flag_ptr": flag,
        "i": i, "C": C, "P": P,
        **strides,
        "stride_table_n": table.stride(0) if table.dim() == 3 else 0, "stride_table_i": table.stride(-2),
    })  # fmt: skip
    constants = absent | {"HAS_WHOLE_BLOCKS": C == 1 or P % 4 == 0}
    key = f"{len(x)}x{C}x{P} {m.dtype}"
    chosen = config or tuned("sampler_step", key, arch or architecture(x)) or _heuristic(C)
    tiles = triton.cdiv(C, chosen["BLOCK_C"]) * triton.cdiv(P, chosen["BLOCK_P"])
    return (x_next, u, y), [Launch(_sampler_step_kernel, (tiles, len(x), 1), given, constants | chosen)]


def _heuristic(C: int) -> Config:
    """Four elements a thread: 16 bytes of float32 and one Philox call."""
    block_c = min(16, triton.next_power_of_2(C))
    return {"BLOCK_C": block_c, "BLOCK_P": 512 // block_c, "num_warps": 4}


def sampler_step(
    x: Tensor,
    m: Tensor,
    table: Tensor,
    i: int,
    *,
    m2: Tensor | None = None,
    history: Tensor | None = None,
    seeds: Tensor | None = None,
    noise: Tensor | None = None,
    mask: Tensor | None = None,
    known: Tensor | None = None,
    flag: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Returns (x', u', y), y being the next step's history, or None where no history is given.

    x: float32 (B, ...), contiguous or channels_last as any of these; m: the network's output, like x in its own
    dtype and layout, which are those of u'. table: float32 (N, 9), columns COLUMNS, or (B, N, 9) with coefficients of
    each sample; i: the step. m2: with a table of GUIDED_COLUMNS, m is m_null and m2 is m_cond. history: float32, like
    x, y of the step before; not read where e is 0, so anything at the first step. seeds: int64 (B,), the bits of the
    uint64, or noise: float32, like x; without either x' is NaN where c is not 0. mask, known: float32, like x, of any
    strides that a layout of x has, or of a mask's one channel repeated. flag: int32 (B,), set to 1 where u' is not
    finite, never cleared. Raises InputError.
    """
    outputs, launches = sampler_step_launches(
        x, m, table, i, m2=m2, history=history, seeds=seeds, noise=noise, mask=mask, known=known, flag=flag
    )
    run_all(launches)
    return outputs


def sampler_step_cost(
    x: Tensor,
    m: Tensor,
    table: Tensor,
    i: int,
    *,
    m2: Tensor | None = None,
    history: Tensor | None = None,
    seeds: Tensor | None = None,
    noise: Tensor | None = None,
    mask: Tensor | None = None,
    known: Tensor | None = None,
    **_: object,
) -> Cost:
    """History counts as read and written; noise of seeds, some 55 operations an element, as floating-point ones."""
    moved = nbytes(x, x, m, m, m2, history, history, table[..., i, :], seeds, noise, mask, known)
    flops = 10 + 4 * (m2 is not None) + 2 * (history is not None) + 55 * (seeds is not None) + 4 * (mask is not None)
    return Cost(moved, flops * x.numel())

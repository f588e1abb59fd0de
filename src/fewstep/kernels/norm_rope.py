"""What stands between the projections and attention: RMS-normalise each head of q and k, rotate, transpose.

q is (B, N, H, D) and k is (B, N, G, D), views of a packed projection too, their last axis contiguous, G dividing H;
weights are (D,), None for no norm; cos and sin are fp32 (N, D/2) or (B, N, D/2), None for no rotation. Written are
(B, H, M, D) and (B, G, M, D), attention's layout, at tokens offset to offset + N: two streams (FLUX, SD3, Qwen-Image)
fill one buffer, and with v, which is copied beside k, nothing is left to concatenate. Arithmetic is fp32, rounded once.
RMSNorm: arXiv 1910.07467. RoPE: arXiv 2104.09864.
"""

from typing import get_args

import torch
import triton
import triton.language as tl
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.checks import (
    check_choice,
    check_device,
    check_dtype,
    check_last_contiguous,
    check_range,
    check_shape,
)
from fewstep.kernels.cost import Cost, nbytes
from fewstep.kernels.launch import Launch, architecture, present, run_all
from fewstep.kernels.rotary import Layout, load_pairs, normalise_pairs, rotate, rotate_ref, store_pairs
from fewstep.kernels.tuned import Config, tuned

Heads = tuple[Tensor, ...]  # q and k, or q, k and v
MAX_D = 512
MAX_B = 65535  # the grid's second axis


def norm_rope_ref(
    q: Tensor,
    k: Tensor,
    q_weight: Tensor | None = None,
    k_weight: Tensor | None = None,
    cos: Tensor | None = None,
    sin: Tensor | None = None,
    *,
    layout: Layout = "interleaved",
    eps: float = 1e-6,
    v: Tensor | None = None,
    out: Heads | None = None,
    offset: int = 0,
) -> Heads:
    """What the kernel must equal, in the dtype of its inputs."""
    written = []
    for x, weight in ((q, q_weight), (k, k_weight)):
        y = x if weight is None else torch.nn.functional.rms_norm(x, weight.shape, weight, eps)
        y = y if cos is None or sin is None else rotate_ref(y, cos, sin, layout)
        written.append(y.transpose(1, 2))
    if v is not None:
        written.append(v.transpose(1, 2))
    if out is None:
        return tuple(written)
    for buffer, y in zip(out, written, strict=True):
        buffer[:, :, offset : offset + y.shape[2]] = y
    return out


@triton.jit
def _norm_rope_kernel(
    q_ptr, k_ptr, v_ptr, q_weight_ptr, k_weight_ptr, cos_ptr, sin_ptr, q_out_ptr, k_out_ptr, v_out_ptr,
    N, H, G, D, eps,
    stride_qb, stride_qn, stride_qh,
    stride_kb, stride_kn, stride_kh,
    stride_vb, stride_vn, stride_vh,
    stride_cos_b, stride_cos_n,
    stride_sin_b, stride_sin_n,
    stride_q_out_b, stride_q_out_h, stride_q_out_n,
    stride_k_out_b, stride_k_out_h, stride_k_out_n,
    stride_v_out_b, stride_v_out_h, stride_v_out_n,
    INTERLEAVED: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    R: tl.constexpr = BLOCK_N * BLOCK_H
    blocks_h = tl.cdiv(H, BLOCK_H)
    b = tl.program_id(1).to(tl.int64)
    r = tl.arange(0, R)
    n = (tl.program_id(0) // blocks_h).to(tl.int64) * BLOCK_N + r // BLOCK_H
    h = (tl.program_id(0) % blocks_h).to(tl.int64) * BLOCK_H + r % BLOCK_H
    q_mask = (n < N) & (h < H)
    k_mask = (n < N) & (h < G)

    # All loads are issued before the reductions wait.
    q_ptrs = q_ptr + b * stride_qb + n * stride_qn + h * stride_qh
    k_ptrs = k_ptr + b * stride_kb + n * stride_kn + h * stride_kh
    q_first, q_second = load_pairs(q_ptrs, q_mask, D, R, BLOCK_P, INTERLEAVED)
    k_first, k_second = load_pairs(k_ptrs, k_mask, D, R, BLOCK_P, INTERLEAVED)
    if v_ptr is not None:
        v_ptrs = v_ptr + b * stride_vb + n * stride_vn + h * stride_vh
        d = tl.arange(0, 2 * BLOCK_P)
        v_mask = k_mask[:, None] & (d < D)[None, :]
        v = tl.load(v_ptrs[:, None] + d[None, :], mask=v_mask, other=0.0)
    if cos_ptr is not None:
        p = tl.arange(0, BLOCK_P)
        mask = (n < N)[:, None] & (p < D // 2)[None, :]
        cos_ptrs = cos_ptr + b * stride_cos_b + n[:, None] * stride_cos_n + p[None, :]
        sin_ptrs = sin_ptr + b * stride_sin_b + n[:, None] * stride_sin_n + p[None, :]
        cos = tl.load(cos_ptrs, mask=mask, other=0.0)  # [R, BLOCK_P]
        sin = tl.load(sin_ptrs, mask=mask, other=0.0)

    q_first, q_second = normalise_pairs(q_first, q_second, q_weight_ptr, D, eps, R, BLOCK_P, INTERLEAVED)
    k_first, k_second = normalise_pairs(k_first, k_second, k_weight_ptr, D, eps, R, BLOCK_P, INTERLEAVED)
    if cos_ptr is not None:
        q_first, q_second = rotate(q_first, q_second, cos, sin)
        k_first, k_second = rotate(k_first, k_second, cos, sin)

    q_out_ptrs = q_out_ptr + b * stride_q_out_b + h * stride_q_out_h + n * stride_q_out_n
    k_out_ptrs = k_out_ptr + b * stride_k_out_b + h * stride_k_out_h + n * stride_k_out_n
    store_pairs(q_out_ptrs, q_first, q_second, q_mask, D, R, BLOCK_P, INTERLEAVED)
    store_pairs(k_out_ptrs, k_first, k_second, k_mask, D, R, BLOCK_P, INTERLEAVED)
    if v_ptr is not None:
        v_out_ptrs = v_out_ptr + b * stride_v_out_b + h * stride_v_out_h + n * stride_v_out_n
        tl.store(v_out_ptrs[:, None] + d[None, :], v, mask=v_mask)


def norm_rope_launches(
    q: Tensor,
    k: Tensor,
    q_weight: Tensor | None = None,
    k_weight: Tensor | None = None,
    cos: Tensor | None = None,
    sin: Tensor | None = None,
    *,
    layout: Layout = "interleaved",
    eps: float = 1e-6,
    v: Tensor | None = None,
    out: Heads | None = None,
    offset: int = 0,
    arch: int | None = None,
    config: Config | None = None,
) -> tuple[Heads, list[Launch]]:
    """The buffers, allocated unless they are out, and the launch that fills them. Tensors on meta describe it alone."""
    B, N, H, D = _check_heads(q, k, v)
    _check_tables(B, N, D, q_weight, k_weight, cos, sin)
    check_choice("layout", layout, get_args(Layout))
    G = k.shape[2]
    read = (q, k) if v is None else (q, k, v)
    if out is None:
        check_range("offset", offset, 0, 0)
        check_device(q=q, k=k, v=v, q_weight=q_weight, k_weight=k_weight, cos=cos, sin=sin)
        out = tuple(torch.empty((B, x.shape[2], N, D), dtype=q.dtype, device=q.device) for x in read)
    else:
        _check_out(out, read, offset)
        named = {f"out[{i}]": y for i, y in enumerate(out)}
        check_device(q=q, k=k, v=v, q_weight=q_weight, k_weight=k_weight, cos=cos, sin=sin, **named)
    written = [y[:, :, offset : offset + N] for y in out]
    q_out, k_out, v_out = written if v is not None else [*written, None]

    strides = {
        **_strides("q", q, "bnh"), **_strides("k", k, "bnh"), **_strides("v", v, "bnh"),
        **_strides("cos_", cos, "bn"), **_strides("sin_", sin, "bn"),
        **_strides("q_out_", q_out, "bhn"), **_strides("k_out_", k_out, "bhn"), **_strides("v_out_", v_out, "bhn"),
    }  # fmt: skip
    args, absent = present({
        "q_ptr": q, "k_ptr": k, "v_ptr": v, "q_weight_ptr": q_weight, "k_weight_ptr": k_weight,
        "cos_ptr": cos, "sin_ptr": sin, "q_out_ptr": q_out, "k_out_ptr": k_out, "v_out_ptr": v_out,
        "N": N, "H": H, "G": G, "D": D, "eps": eps,
        **strides,
    })  # fmt: skip
    key = f"{B}x{N}x{H}x{G}x{D} {layout} {q.dtype}"
    chosen = _config(H, D) | (config or tuned("norm_rope", key, arch or architecture(q)) or {})
    # Without a rotation any pairs will do, and neighbours are loaded together.
    constants = {"INTERLEAVED": layout == "interleaved" or cos is None} | chosen
    grid = (triton.cdiv(N, chosen["BLOCK_N"]) * triton.cdiv(H, chosen["BLOCK_H"]), B, 1)
    return out, [Launch(_norm_rope_kernel, grid, args, absent | constants)]


def norm_rope(
    q: Tensor,
    k: Tensor,
    q_weight: Tensor | None = None,
    k_weight: Tensor | None = None,
    cos: Tensor | None = None,
    sin: Tensor | None = None,
    *,
    layout: Layout = "interleaved",
    eps: float = 1e-6,
    v: Tensor | None = None,
    out: Heads | None = None,
    offset: int = 0,
) -> Heads:
    """Returns (q', k'), with v (q', k', v'): (B, H, N, D), new, or out itself, filled from token offset on.

    out: as many buffers (B, H, M, D), any strides with the last axis contiguous, that overlap no input. InputError.
    """
    written, launches = norm_rope_launches(
        q, k, q_weight, k_weight, cos, sin, layout=layout, eps=eps, v=v, out=out, offset=offset
    )
    run_all(launches)
    return written


def norm_rope_cost(
    q: Tensor,
    k: Tensor,
    q_weight: Tensor | None = None,
    k_weight: Tensor | None = None,
    cos: Tensor | None = None,
    sin: Tensor | None = None,
    *,
    v: Tensor | None = None,
    **_: object,
) -> Cost:
    return Cost(2 * nbytes(q, k, v) + nbytes(q_weight, k_weight, cos, sin), 7 * (q.numel() + k.numel()))


def _check_heads(q: Tensor, k: Tensor, v: Tensor | None) -> tuple[int, int, int, int]:
    check_shape("q", q, (None, None, None, None))
    B, N, H, D = q.shape
    check_shape("k", k, (B, N, None, D))
    G = k.shape[2]
    if H % G:
        raise InputError(f"k: expected a number of heads that divides q's {H}, got {G}")
    if v is not None:
        check_shape("v", v, (B, N, G, D))
    for name, x in {"q": q, "k": k, "v": v}.items():
        if x is not None:
            check_dtype(name, x)
            check_dtype(name, x, (q.dtype,))
            check_last_contiguous(name, x)
    check_range("B", B, 1, MAX_B)
    check_range("D", D, 2, MAX_D)
    if D % 2:
        raise InputError(f"q: expected an even last axis, got shape {tuple(q.shape)}")
    return B, N, H, D


def _check_tables(
    B: int, N: int, D: int, q_weight: Tensor | None, k_weight: Tensor | None, cos: Tensor | None, sin: Tensor | None
) -> None:
    for name, weight in {"q_weight": q_weight, "k_weight": k_weight}.items():
        if weight is not None:
            check_shape(name, weight, (D,))
            check_dtype(name, weight)
            check_last_contiguous(name, weight)
    if (cos is None) != (sin is None):
        raise InputError(f"{'cos' if cos is None else 'sin'}: expected both cos and sin, or neither; got None")
    for name, table in {"cos": cos, "sin": sin}.items():
        if table is not None:
            check_shape(name, table, (N, D // 2) if table.dim() == 2 else (B, N, D // 2))
            check_dtype(name, table, (torch.float32,))
            check_last_contiguous(name, table)


def _check_out(out: Heads, read: Heads, offset: int) -> None:
    if len(out) != len(read):
        raise InputError(f"out: expected {len(read)} buffers, got {len(out)}")
    for i, (y, x) in enumerate(zip(out, read, strict=True)):
        B, N, heads, D = x.shape
        check_shape(f"out[{i}]", y, (B, heads, None, D))
        check_dtype(f"out[{i}]", y, (x.dtype,))
        check_last_contiguous(f"out[{i}]", y)
        check_range("offset", offset, 0, y.shape[2] - N)


def _strides(prefix: str, x: Tensor | None, axes: str) -> dict[str, int | None]:
    """The strides of the axes before the last, 0 for one that a table (N, D/2) lacks."""
    if x is None:
        return {f"stride_{prefix}{axis}": None for axis in axes}
    missing = len(axes) + 1 - x.dim()
    return {f"stride_{prefix}{axis}": s for axis, s in zip(axes, (*[0] * missing, *x.stride()[:-1]), strict=True)}


def _config(H: int, D: int) -> Config:
    """2048 elements of q to a program, of as many heads as divide H, so that no row is empty."""
    BLOCK_P = triton.next_power_of_2(D // 2)
    rows = max(1, 1024 // BLOCK_P)
    BLOCK_H = min(rows, 8, H & -H)
    return {"BLOCK_N": rows // BLOCK_H, "BLOCK_H": BLOCK_H, "BLOCK_P": BLOCK_P, "num_warps": 4}

"""Slabs: the neighbouring channels, a few whole groups of them, that one program of group_norm works on.

Groups of 10, 20 or 30 channels do not fill blocks of a power of two, and one alone is too narrow for loads of 16 bytes.
So a block holds the channels of several, and `member` says which channel is in which group: sums go from channels
to groups and back through it, whatever the group's size.
"""

import triton
import triton.language as tl

WIDEST = 128  # channels that a slab of several groups may take


@triton.jit
def slab_channels(slab, C, CG: tl.constexpr, SLAB_G: tl.constexpr, BLOCK_C: tl.constexpr):
    """The slab's channels, int64 [BLOCK_C], and which of them there are."""
    j = tl.arange(0, BLOCK_C)
    c = slab * (SLAB_G * CG) + j
    return c.to(tl.int64), (j < SLAB_G * CG) & (c < C)


@triton.jit
def slab_groups(slab, G, SLAB_G: tl.constexpr, BLOCK_G: tl.constexpr):
    """The slab's groups, int64 [BLOCK_G], and which of them there are."""
    k = tl.arange(0, BLOCK_G)
    g = slab * SLAB_G + k
    return g.to(tl.int64), (k < SLAB_G) & (g < G)


@triton.jit
def membership(CG: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_G: tl.constexpr):
    """[BLOCK_C, BLOCK_G]: is channel j of the slab in its group k?"""
    return (tl.arange(0, BLOCK_C) // CG)[:, None] == tl.arange(0, BLOCK_G)[None, :]


@triton.jit
def load_sum(x_ptrs, residual_ptrs, mask):
    """x + residual, rounded to the dtype of x, or x; fp32."""
    x = tl.load(x_ptrs, mask=mask, other=0.0)
    if residual_ptrs is not None:
        x = (x.to(tl.float32) + tl.load(residual_ptrs, mask=mask, other=0.0).to(tl.float32)).to(x.dtype)
    return x.to(tl.float32)


@triton.jit
def pivots(x_ptr, residual_ptr, c, mask, stride_xc, stride_rc, CG: tl.constexpr):
    """The first element of channel c's group. Relative to it, as to any element of the group, means and deviations
    lose nothing to rounding, however large the mean is."""
    first = c // CG * CG
    r_ptrs = None
    if residual_ptr is not None:
        r_ptrs = residual_ptr + first * stride_rc
    return load_sum(x_ptr + first * stride_xc, r_ptrs, mask)


@triton.jit
def to_groups(channels, member):
    return tl.sum(tl.where(member, channels[:, None], 0.0), axis=0)


@triton.jit
def to_channels(groups, member):
    return tl.sum(tl.where(member, groups[None, :], 0.0), axis=1)


@triton.jit
def channel_affine(
    rstd, weight_ptr, bias_ptr, scale_ptr, shift_ptr, b, c, mask, stride_scale_b, stride_shift_b
):  # fmt: skip
    """The factor and the summand [BLOCK_C] of (x - mean): ((x - mean) * rstd * weight + bias) * (1 + scale) + shift."""
    factor, summand = rstd, tl.zeros_like(rstd)
    if weight_ptr is not None:
        factor *= tl.load(weight_ptr + c, mask=mask, other=0.0).to(tl.float32)
    if bias_ptr is not None:
        summand += tl.load(bias_ptr + c, mask=mask, other=0.0).to(tl.float32)
    if scale_ptr is not None:
        scale = 1 + tl.load(scale_ptr + b * stride_scale_b + c, mask=mask, other=0.0).to(tl.float32)
        factor *= scale
        summand *= scale
    if shift_ptr is not None:
        summand += tl.load(shift_ptr + b * stride_shift_b + c, mask=mask, other=0.0).to(tl.float32)
    return factor, summand


@triton.jit
def activate(y, SILU: tl.constexpr):
    if SILU:
        y *= tl.sigmoid(y)
    return y


def widths(SLAB_G: int, CG: int) -> dict[str, int]:
    """The constants of a slab of SLAB_G groups of CG channels."""
    return {
        "CG": CG,
        "SLAB_G": SLAB_G,
        "BLOCK_C": triton.next_power_of_2(SLAB_G * CG),
        "BLOCK_G": triton.next_power_of_2(SLAB_G),
    }


def widest_slab(G: int, CG: int) -> int:
    """Groups to a slab whose loads are whole and whose lanes are busy: at most WIDEST channels, first multiples of 8
    of them, then the least that is masked away, then the fewest groups."""

    def merit(slab_g: int) -> tuple[bool, bool, float, int]:
        channels = slab_g * CG
        lanes = -(-G // slab_g) * triton.next_power_of_2(channels)
        return channels % 8 == 0, channels > WIDEST // 4, G * CG / lanes, -slab_g

    fitting = [n for n in range(1, min(G, 32) + 1) if triton.next_power_of_2(n * CG) <= WIDEST]
    return max(fitting, key=merit, default=1)

"""The unit normal stream of runtime/include/fewstep/noise.h, made where it is used: device functions, no kernel.

Element e of (seed, step) is normal e % 4 of Philox 4x32-10 block e / 4 (Salmon et al., SC 2011) by Box-Muller:
sqrt(-2 ln u1) (cos 2 pi u2, sin 2 pi u2), u1 = ((w0 >> 8) + 1) / 2^24, u2 = (w1 >> 8) / 2^24, then w2 and w3 likewise.
All in fp32, within 1e-6 of the runtime's doubles: both arguments are reduced as integers, and the polynomials below
stay under 3e-8 of their functions on the reduced ranges. Seeds are int64 holding the bits of a uint64.
"""

import triton
import triton.language as tl


@triton.jit
def normal_block(seed, step, block):
    """The four normals of each Philox block. block: int64, any shape."""
    w0, w1, w2, w3 = _words(seed, step, block)
    n0, n1 = _box_muller(w0, w1)
    n2, n3 = _box_muller(w2, w3)
    return n0, n1, n2, n3


@triton.jit
def normal_row(seed, step, block, R: tl.constexpr, N: tl.constexpr):
    """The normals of blocks [R, N // 4] as elements [R, N], in the order of the stream: four to a thread."""
    n0, n1, n2, n3 = normal_block(seed, step, block)
    return tl.join(tl.join(n0, n2), tl.join(n1, n3)).reshape(R, N)


@triton.jit
def normal_at(seed, step, element):
    """The normal of each element: a Philox call for one number, for elements that do not come in whole blocks."""
    w0, w1, w2, w3 = _words(seed, step, element >> 2)
    is_second = (element & 2) != 0
    cosine, sine = _box_muller(tl.where(is_second, w2, w0), tl.where(is_second, w3, w1))
    return tl.where((element & 1) != 0, sine, cosine)


@triton.jit
def _words(seed, step, block):
    return tl.philox(seed, block.to(tl.uint32), (block >> 32).to(tl.uint32), step, 0)


@triton.jit
def _box_muller(word_radius, word_angle):
    radius = tl.sqrt_rn(_minus_two_log(((word_radius >> 8) + 1).to(tl.int32)))
    cosine, sine = _unit_circle((word_angle >> 8).to(tl.int32))
    return radius * cosine, radius * sine


@triton.jit
def _minus_two_log(k):
    """-2 ln(k / 2^24) for k in [1, 2^24], relatively exact near k = 2^24 too."""
    bits = k.to(tl.float32).to(tl.int32, bitcast=True)
    exponent = (bits - 0x3F3504F3) >> 23  # k = m 2^exponent with m in [sqrt(1/2), sqrt(2)), whose bits these are
    f = (bits - (exponent << 23)).to(tl.float32, bitcast=True) - 1.0
    p = f * -0.17469501495361328 + 0.28614965081214905  # -2 ln(1 + f) = -2 f + f^2 p
    p = p * f - 0.29835978150367737
    p = p * f + 0.33141028881073
    p = p * f - 0.3992414176464081
    p = p * f + 0.5000351071357727
    p = p * f - 0.6666790246963501
    p = p * f + 0.9999998211860657
    return (24 - exponent).to(tl.float32) * 1.3862943611198906 + (f * f * p - 2.0 * f)


@triton.jit
def _unit_circle(j):
    """(cos, sin) of 2 pi j / 2^24 for j in [0, 2^24): an exact reduction to the nearest quarter turn."""
    quarter = (j + (1 << 21)) >> 22
    t = (j - (quarter << 22)).to(tl.float32) * 4.76837158203125e-07  # in eighths of a turn, [-1, 1]
    u = t * t
    s = u * -3.595450834836811e-05 + 0.002490007085725665
    s = (s * u - 0.08074543625116348) * u + 0.7853981852531433
    s = s * t
    c = u * 3.529811237967806e-06 - 0.00032593862852081656
    c = ((c * u + 0.015854325145483017) * u - 0.3084251284599304) * u + 1.0
    is_odd = (quarter & 1) != 0
    cosine, sine = tl.where(is_odd, s, c), tl.where(is_odd, c, s)
    return tl.where(((quarter + 1) & 2) != 0, -cosine, cosine), tl.where((quarter & 2) != 0, -sine, sine)

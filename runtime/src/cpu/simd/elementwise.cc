#include "cpu/simd/functions.h"
#include "cpu/simd/tables.h"

namespace fewstep::cpu::FEWSTEP_ISA {
namespace {

template <typename F>
FEWSTEP_INLINE void unary(const float* a, float* y, std::size_t n, F&& f) {
  std::size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, f(load(a + i)));
  if (i < n) store_part(y + i, f(load_part(a + i, n - i)), n - i);
}

template <typename F>
FEWSTEP_INLINE void binary(const float* a, const float* b, float* y, std::size_t n, F&& f) {
  std::size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, f(load(a + i), load(b + i)));
  if (i < n) store_part(y + i, f(load_part(a + i, n - i), load_part(b + i, n - i)), n - i);
}

template <typename F>
FEWSTEP_INLINE void ternary(const float* a, const float* b, const float* c, float* y, std::size_t n, F&& f) {
  std::size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, f(load(a + i), load(b + i), load(c + i)));
  if (i < n) {
    const std::size_t left = n - i;
    store_part(y + i, f(load_part(a + i, left), load_part(b + i, left), load_part(c + i, left)), left);
  }
}

FEWSTEP_INLINE Vec with_sign(Vec magnitude, Vec sign) {
  return (Vec)((IVec)magnitude | ((IVec)sign & static_cast<std::int32_t>(0x80000000)));
}

// Half to even: beyond 2^23 a float has no fraction.
FEWSTEP_INLINE Vec nearest(Vec x) {
  constexpr float kWhole = 8388608.0f;
  const Vec a = absolute(x);
  return a < kWhole ? with_sign((a + kWhole) - kWhole, x) : x;
}

FEWSTEP_INLINE Vec below(Vec x) {
  const Vec y = nearest(x);
  return y > x ? y - 1.0f : y;
}

FEWSTEP_INLINE Vec above(Vec x) {
  const Vec y = nearest(x);
  return y < x ? with_sign(y + 1.0f, x) : y;
}

FEWSTEP_INLINE Vec truth(IVec mask) { return mask ? splat(1.0f) : Vec{}; }

FEWSTEP_INLINE DVec whole_below(DVec x) {
  const DVec a = absolute(x), r = (a + 4503599627370496.0) - 4503599627370496.0;
  const DVec y = a < 4503599627370496.0 ? (x < 0.0 ? -r : r) : x;
  return y > x ? y - 1.0 : y;
}

constexpr double kSine[] = {
    1.0, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880.0, -1.0 / 39916800.0, 1.0 / 6227020800.0};
constexpr double kCosine[] = {1.0, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320.0, -1.0 / 3628800.0, 1.0 / 479001600.0};

// sin(x + quarters pi / 2), |x| <= 10^6: pi / 2 in two parts, the first of 33 bits, so that its products are exact.
FEWSTEP_INLINE DVec sine(DVec x, std::int64_t quarters) {
  const DVec rounded = x * 0.6366197723675814 + kRounding, n = rounded - kRounding;
  const DVec r = (x - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11, r2 = r * r;
  const LVec turn = (LVec)rounded + quarters;
  const DVec y = (turn & 1) != 0 ? polynomial(kCosine, 7, r2) : r * polynomial(kSine, 7, r2);
  return (turn & 2) != 0 ? -y : y;
}

constexpr float kReduced = 1e6f;  // what lies beyond is left to the C library

void sine(const float* a, const float*, const float*, float* y, std::size_t n) {
  unary(a, y, n, [](Vec x) __attribute__((always_inline)) {
    Vec s = in_double(x, [](DVec v) __attribute__((always_inline)) { return sine(v, 0); });
    s = x == 0.0f ? x : s;
    for (int i = 0; i < kLanes; ++i) {
      if (!(__builtin_fabsf(x[i]) <= kReduced)) s[i] = static_cast<float>(__builtin_sin(x[i]));
    }
    return s;
  });
}

void cosine(const float* a, const float*, const float*, float* y, std::size_t n) {
  unary(a, y, n, [](Vec x) __attribute__((always_inline)) {
    Vec s = in_double(x, [](DVec v) __attribute__((always_inline)) { return sine(v, 1); });
    for (int i = 0; i < kLanes; ++i) {
      if (!(__builtin_fabsf(x[i]) <= kReduced)) s[i] = static_cast<float>(__builtin_cos(x[i]));
    }
    return s;
  });
}

FEWSTEP_INLINE DVec power(DVec a, DVec b) {
  const DVec size = absolute(a), floor_b = whole_below(b);
  DVec y = exponential(b * logarithm(size));
  y = size == 1.0 ? wide_splat(1.0) : y;
  const LVec is_whole = floor_b == b;
  const LVec is_odd = is_whole & (whole_below(b * 0.5) != b * 0.5);
  y = is_odd & ((LVec)a < 0) ? -y : y;
  const LVec is_finite = (absolute(b) < __builtin_inf()) & (size < __builtin_inf());
  y = (a < 0.0) & ~is_whole & is_finite ? wide_splat(__builtin_nan("")) : y;
  y = (a == a) & (b == b) ? y : wide_splat(__builtin_nan(""));
  return (b == 0.0) | (a == 1.0) ? wide_splat(1.0) : y;
}

// The remainder with the divisor's sign, as Python's.
FEWSTEP_INLINE DVec modulo(DVec a, DVec b) { return a - b * whole_below(a / b); }

template <typename F>
FEWSTEP_INLINE Vec both_in_double(Vec a, Vec b, F&& f) {
  const Pair x = widen(a), y = widen(b);
  return narrow({f(x.low, y.low), f(x.high, y.high)});
}

#define UNARY(name, expression)                                                             \
  void name(const float* a, const float*, const float*, float* y, std::size_t n) {          \
    unary(a, y, n, [](Vec x) __attribute__((always_inline)) -> Vec { return expression; }); \
  }
#define BINARY(name, expression)                                                                       \
  void name(const float* a, const float* b, const float*, float* y, std::size_t n) {                   \
    binary(a, b, y, n, [](Vec x, Vec z) __attribute__((always_inline)) -> Vec { return expression; }); \
  }
#define TERNARY(name, expression)                                                                                 \
  void name(const float* a, const float* b, const float* c, float* y, std::size_t n) {                            \
    ternary(a, b, c, y, n, [](Vec x, Vec z, Vec w) __attribute__((always_inline)) -> Vec { return expression; }); \
  }

UNARY(map_neg, -x)
UNARY(map_abs, absolute(x))
UNARY(map_sqrt, square_root(x))
UNARY(map_rsqrt, 1.0f / square_root(x))
UNARY(map_reciprocal, 1.0f / x)
UNARY(map_exp, exponential(x))
UNARY(map_log, in_double(x, [](DVec v) __attribute__((always_inline)) { return logarithm(v); }))
UNARY(map_tanh, hyperbolic_tangent(x))
UNARY(map_erf, in_double(x, [](DVec v) __attribute__((always_inline)) { return error_function(v); }))
UNARY(map_sigmoid, sigmoid(x))
UNARY(map_silu, silu(x))
UNARY(map_relu, x < 0.0f ? Vec{} : x)
UNARY(map_gelu, gelu(x))
UNARY(map_gelu_tanh, gelu_tanh(x))
UNARY(map_floor, below(x))
UNARY(map_ceil, above(x))
UNARY(map_round, nearest(x))
UNARY(map_sign, x > 0.0f ? splat(1.0f) : (x < 0.0f ? splat(-1.0f) : x))
UNARY(map_not, truth(x == 0.0f))
BINARY(map_add, x + z)
BINARY(map_sub, x - z)
BINARY(map_mul, x* z)
BINARY(map_div, x / z)
BINARY(map_pow, both_in_double(x, z, [](DVec v, DVec e) __attribute__((always_inline)) { return power(v, e); }))
BINARY(map_min, (x < z) | (x != x) ? x : z)
BINARY(map_max, (x > z) | (x != x) ? x : z)
BINARY(map_less, truth(x < z))
BINARY(map_greater, truth(x > z))
BINARY(map_equal, truth(x == z))
BINARY(map_and, truth((x != 0.0f) & (z != 0.0f)))
BINARY(map_or, truth((x != 0.0f) | (z != 0.0f)))
BINARY(map_mod, both_in_double(x, z, [](DVec v, DVec d) __attribute__((always_inline)) { return modulo(v, d); }))
BINARY(map_add_silu, silu(x + z))
TERNARY(map_where, x != 0.0f ? z : w)
TERNARY(map_multiply_add, x* z + w)

}  // namespace

extern const ElementwiseTable kElementwise = {{
    map_neg,   map_abs,  map_sqrt,  map_rsqrt,        map_reciprocal, map_exp,     map_log,   sine,
    cosine,    map_tanh, map_erf,   map_sigmoid,      map_silu,       map_relu,    map_gelu,  map_gelu_tanh,
    map_floor, map_ceil, map_round, map_sign,         map_not,        map_add,     map_sub,   map_mul,
    map_div,   map_pow,  map_min,   map_max,          map_less,       map_greater, map_equal, map_and,
    map_or,    map_mod,  map_where, map_multiply_add, map_add_silu,
}};

}  // namespace fewstep::cpu::FEWSTEP_ISA

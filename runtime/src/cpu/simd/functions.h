#pragma once

// Functions of one variable, at most 2 ulp from the exact value for every float, NaN for NaN. What is not hot is
// computed in double.

#include "cpu/simd/vector.h"

namespace fewstep::cpu::FEWSTEP_ISA {

constexpr float kInf = __builtin_inff();
constexpr float kNan = __builtin_nanf("");

FEWSTEP_INLINE Vec exponential(Vec x) {
  x = x > 90.0f ? splat(90.0f) : x < -105.0f ? splat(-105.0f) : x;
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: a sum with it has no fraction
  const Vec n = (x * 1.44269504f + kMagic) - kMagic;
  const Vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec p = 1.9875691500e-4f + Vec{};
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * r * r + r) + 1.0f;
  const IVec power = __builtin_convertvector(n, IVec), half = power >> 1;  // two steps: the result may be denormal
  return p * (Vec)((half + 127) << 23) * (Vec)((power - half + 127) << 23);
}

FEWSTEP_INLINE Vec sigmoid(Vec x) {
  const Vec e = exponential(-absolute(x));
  return (x < 0.0f ? e : splat(1.0f)) / (1.0f + e);
}

// -0 below x = -88.7, where the exact value is above -3e-37.
FEWSTEP_INLINE Vec silu(Vec x) { return x / (1.0f + exponential(-x)); }

FEWSTEP_INLINE DVec polynomial(const double* coefficients, int count, DVec x) {  // lowest power first
  DVec sum = wide_splat(coefficients[count - 1]);
  for (int i = count - 2; i >= 0; --i) sum = sum * x + coefficients[i];
  return sum;
}

constexpr double kRounding = 6755399441055744.0;  // 1.5 * 2^52

FEWSTEP_INLINE DVec exponential(DVec x) {
  constexpr double kTaylor[] = {1.0,         1.0 / 2,      1.0 / 6,       1.0 / 24,      1.0 / 120,
                                1.0 / 720.0, 1.0 / 5040.0, 1.0 / 40320.0, 1.0 / 362880.0};
  const DVec clamped = x > 709.0 ? wide_splat(709.0) : x < -708.0 ? wide_splat(-708.0) : x;
  const DVec rounded = clamped * 1.4426950408889634 + kRounding;
  const DVec r = clamped - (rounded - kRounding) * 0.6931471805599453;
  const DVec y = (1.0 + r * polynomial(kTaylor, 9, r)) * (DVec)(((ULVec)rounded + 1023) << 52);
  return x > 709.0 ? wide_splat(__builtin_inf()) : x < -708.0 ? DVec{} : y;
}

FEWSTEP_INLINE DVec logarithm(DVec x) {
  constexpr double kAtanh[] = {1.0, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15};
  const ULVec bits = (ULVec)x;
  const LVec exponent = (LVec)(bits - 0x3FE6A09E667F3BCD) >> 52;
  const DVec m = (DVec)(bits - ((ULVec)exponent << 52));  // in [sqrt(1/2), sqrt(2))
  const DVec s = (m - 1.0) / (m + 1.0);
  const DVec e = (DVec)(exponent + 0x4338000000000000) - kRounding;
  DVec y = e * 0.6931471805599453 + 2.0 * s * polynomial(kAtanh, 8, s * s);
  y = x == 0.0 ? wide_splat(-__builtin_inf()) : x == __builtin_inf() ? x : y;
  return x >= 0.0 ? y : wide_splat(__builtin_nan(""));
}

FEWSTEP_INLINE DVec hyperbolic_tangent(DVec x) {
  const DVec a = absolute(x), e = exponential(-2.0 * a);
  const DVec y = a < 1e-4 ? a - a * a * a * (1.0 / 3) : (1.0 - e) / (1.0 + e);
  return x < 0.0 ? -y : (x == 0.0 ? x : y);
}

// The Gaussian tail Q(a) = erfc(a / sqrt 2) / 2 of a >= 0 as t P(t) exp(-a^2 / 2), t = 1 / (1 + 0.35 a); P has a
// relative error of 3.4e-9 up to a = 15, beyond which every float is 0.
FEWSTEP_INLINE DVec tail(DVec a) {
  constexpr double kTail[] = {0.139627979532,  0.13967377606,     0.122097870329,  0.0903387146282,
                              0.0397072680189, -0.00962416189166, 0.0437072438455, -0.203760743357,
                              0.224948763684,  -0.105900325263,   0.0191836160896};
  const DVec t = 1.0 / (1.0 + 0.35 * a);
  return t * polynomial(kTail, 11, t) * exponential(a * a * -0.5);
}

FEWSTEP_INLINE DVec error_function(DVec x) {
  constexpr double kTaylor[] = {1.0,
                                -1.0 / 3,
                                1.0 / 10,
                                -1.0 / 42,
                                1.0 / 216,
                                -1.0 / 1320,
                                1.0 / 9360,
                                -1.0 / 75600,
                                1.0 / 685440,
                                -1.0 / 6894720,
                                1.0 / 76204800,
                                -1.0 / 918086400.0,
                                1.0 / 11975040000.0,
                                -1.0 / 168129561600.0};
  const DVec a = absolute(x);
  const DVec y =
      a < 1.0 ? a * polynomial(kTaylor, 14, a * a) * 1.1283791670955126 : 1.0 - 2.0 * tail(a * 1.4142135623730951);
  return x < 0.0 ? -y : (x == 0.0 ? x : y);
}

FEWSTEP_INLINE DVec gelu(DVec x) {
  const DVec q = tail(absolute(x));
  return x * (x < 0.0 ? q : 1.0 - q);
}

FEWSTEP_INLINE DVec gelu_tanh(DVec x) {
  return x / (1.0 + exponential(-1.5957691216057308 * (x + 0.044715 * x * x * x)));
}

// Any function of DVec on floats.
template <typename F>
FEWSTEP_INLINE Vec in_double(Vec x, F&& f) {
  const Pair wide = widen(x);
  return narrow({f(wide.low), f(wide.high)});
}

FEWSTEP_INLINE Vec hyperbolic_tangent(Vec x) {
  return in_double(x, [](DVec v) __attribute__((always_inline)) { return hyperbolic_tangent(v); });
}

FEWSTEP_INLINE Vec gelu(Vec x) {
  return in_double(x, [](DVec v) __attribute__((always_inline)) { return gelu(v); });
}

FEWSTEP_INLINE Vec gelu_tanh(Vec x) {
  return in_double(x, [](DVec v) __attribute__((always_inline)) { return gelu_tanh(v); });
}

}  // namespace fewstep::cpu::FEWSTEP_ISA

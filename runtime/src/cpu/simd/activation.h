#pragma once

#include "cpu/simd/gemm.h"
#include "cpu/simd/lanes.h"

namespace fewstep::cpu::FEWSTEP_ISA {

static inline Vec choose(VecInt condition, Vec yes, Vec no) { return condition ? yes : no; }

// e^x to about 1e-7, for x held between -87 and 88; a NaN stays one.
static inline Vec exponential(Vec x) {
  x = choose(x < -87.0f, spread(-87.0f), x);
  x = choose(x > 88.0f, spread(88.0f), x);
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves an integer in the low bits
  const Vec shifted = x * 1.44269504f + kRound;
  const Vec n = shifted - kRound;
  const Vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec p = r * (1.0f / 5040) + 1.0f / 720;  // Taylor: |r| <= 0.35, so the eighth term is below 6e-9
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const VecInt exponent = (reinterpret_cast<VecInt>(shifted) << 23) + 0x3f800000;
  return p * reinterpret_cast<Vec>(exponent);
}

static inline Vec logistic(Vec x) { return 1.0f / (1.0f + exponential(-x)); }

template <Activation A>
static inline Vec activated(Vec x) {
  if constexpr (A == Activation::silu) return x * logistic(x);
  if constexpr (A == Activation::sigmoid) return logistic(x);
  if constexpr (A == Activation::relu) return choose(x < 0.0f, Vec{}, x);
  if constexpr (A == Activation::gelu_tanh) return x * logistic(x * (1.5957691216f + 0.0713548162726f * x * x));
  if constexpr (A == Activation::gelu) {
    for (std::int64_t i = 0; i < kLanes; ++i) x[i] *= 0.5f + 0.5f * __builtin_erff(x[i] * 0.70710678f);
  }
  if constexpr (A == Activation::tanh) {
    for (std::int64_t i = 0; i < kLanes; ++i) x[i] = __builtin_tanhf(x[i]);
  }
  return x;
}

}  // namespace fewstep::cpu::FEWSTEP_ISA

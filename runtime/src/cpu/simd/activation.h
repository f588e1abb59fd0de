#pragma once

#include "cpu/simd/functions.h"
#include "cpu/simd/gemm.h"

namespace fewstep::cpu::FEWSTEP_ISA {

template <Activation A>
FEWSTEP_INLINE Vec activated(Vec x) {
  if constexpr (A == Activation::silu) return silu(x);
  if constexpr (A == Activation::relu) return x < 0.0f ? Vec{} : x;
  if constexpr (A == Activation::gelu) return gelu(x);
  if constexpr (A == Activation::gelu_tanh) return gelu_tanh(x);
  if constexpr (A == Activation::sigmoid) return sigmoid(x);
  if constexpr (A == Activation::tanh) return hyperbolic_tangent(x);
  return x;
}

}  // namespace fewstep::cpu::FEWSTEP_ISA

#pragma once

#include <cstddef>

#include "cpu/isa.h"

namespace fewstep::cpu {

// Arithmetic on a row of n floats. Sums are made in double, in an order that n alone decides; null operands are left
// out.
struct RowMath {
  double (*sum)(const float* x, std::size_t n);
  // out: the sums of x - pivot and of its square.
  void (*moments)(const float* x, std::size_t n, float pivot, double* out);
  float (*max)(const float* x, std::size_t n);  // NaN if one is
  float (*min)(const float* x, std::size_t n);
  double (*exponentials)(const float* x, float shift, float* y, std::size_t n);  // y = exp(x - shift), and its sum
  void (*times)(const float* x, float factor, float* y, std::size_t n);
  // y = (((x - mean) - correction) * factor * weight + bias) * (1 + scale) + shift
  void (*normalise)(const float* x, const float* weight, const float* bias, const float* scale, const float* shift,
                    float* y, std::size_t n, float mean, float correction, float factor);
  void (*accumulate)(const float* x, double* sums, std::size_t n);  // sums += x
};

const RowMath& row_math(Isa isa) noexcept;

}  // namespace fewstep::cpu

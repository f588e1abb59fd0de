#pragma once

#include <cstddef>

#include "cpu/isa.h"

namespace fewstep::cpu {

// The operators of a map's code, in the order of docs/plan.md, and what is made from pairs of them.
enum class Operator {
  neg,
  abs,
  sqrt,
  rsqrt,
  reciprocal,
  exp,
  log,
  sin,
  cos,
  tanh,
  erf,
  sigmoid,
  silu,
  relu,
  gelu,
  gelu_tanh,
  floor,
  ceil,
  round,
  sign,
  logical_not,
  add,
  sub,
  mul,
  div,
  pow,
  min,
  max,
  less,
  greater,
  equal,
  logical_and,
  logical_or,
  mod,
  where,
  multiply_add,
  add_silu,
  count
};

// y[i] = f(a[i], b[i], c[i]) for i < n; an operator of fewer operands reads no others. y may be one of them.
//
// 1. An element's bits depend on its operands alone, not on n or where it lies.
using Elementwise = void (*)(const float* a, const float* b, const float* c, float* y, std::size_t n);

Elementwise elementwise(Isa isa, Operator op) noexcept;

}  // namespace fewstep::cpu

#include "cpu/row_math.h"

#include "cpu/simd/functions.h"
#include "cpu/simd/tables.h"

namespace fewstep::cpu::FEWSTEP_ISA {
namespace {

// Calls whole(i) for each full vector and part(i, left) for the rest.
template <typename Whole, typename Part>
FEWSTEP_INLINE void each(std::size_t n, Whole&& whole, Part&& part) {
  std::size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) whole(i);
  if (i < n) part(i, n - i);
}

struct Sum {
  DVec low{}, high{};
};

FEWSTEP_INLINE void add(Sum& sum, Vec x) {
  const Pair wide = widen(x);
  sum.low += wide.low;
  sum.high += wide.high;
}

FEWSTEP_INLINE void add_square(Sum& sum, Vec x) {
  const Pair wide = widen(x);
  sum.low += wide.low * wide.low;
  sum.high += wide.high * wide.high;
}

FEWSTEP_INLINE double sum_of(const Sum& sum) { return total(sum.low + sum.high); }

double row_sum(const float* x, std::size_t n) {
  Sum sum;
  each(
      n, [&](std::size_t i) { add(sum, load(x + i)); },
      [&](std::size_t i, std::size_t left) { add(sum, load_part(x + i, left)); });
  return sum_of(sum);
}

void row_moments(const float* x, std::size_t n, float pivot, double* out) {
  Sum first, second;
  const auto take = [&](Vec d) __attribute__((always_inline)) {
    add(first, d);
    add_square(second, d);
  };
  each(
      n, [&](std::size_t i) { take(load(x + i) - pivot); },
      [&](std::size_t i, std::size_t left) {
        Vec d{};
        for (std::size_t k = 0; k < left; ++k) d[k] = x[i + k] - pivot;
        take(d);
      });
  out[0] = sum_of(first);
  out[1] = sum_of(second);
}

template <typename Better>
FEWSTEP_INLINE float extreme(const float* x, std::size_t n, Better&& better) {
  Vec best = splat(x[0]);
  std::size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) best = better(load(x + i), best);
  for (; i < n; ++i) best = better(splat(x[i]), best);
  float result = best[0];
  for (int k = 1; k < kLanes; ++k) result = better(splat(best[k]), splat(result))[0];
  return result;
}

float row_max(const float* x, std::size_t n) {
  return extreme(x, n, [](Vec a, Vec b) __attribute__((always_inline)) { return (a > b) | (a != a) ? a : b; });
}

float row_min(const float* x, std::size_t n) {
  return extreme(x, n, [](Vec a, Vec b) __attribute__((always_inline)) { return (a < b) | (a != a) ? a : b; });
}

double row_exponentials(const float* x, float shift, float* y, std::size_t n) {
  Sum sum;
  each(
      n,
      [&](std::size_t i) {
        const Vec e = exponential(load(x + i) - shift);
        store(y + i, e);
        add(sum, e);
      },
      [&](std::size_t i, std::size_t left) {
        store_part(y + i, exponential(load_part(x + i, left) - shift), left);
        add(sum, load_part(y + i, left));
      });
  return sum_of(sum);
}

void row_times(const float* x, float factor, float* y, std::size_t n) {
  each(
      n, [&](std::size_t i) { store(y + i, load(x + i) * factor); },
      [&](std::size_t i, std::size_t left) { store_part(y + i, load_part(x + i, left) * factor, left); });
}

template <typename Load>
FEWSTEP_INLINE Vec modulated(Vec y, const float* weight, const float* bias, const float* scale, const float* shift,
                             Load&& at) {
  if (weight != nullptr) y *= at(weight);
  if (bias != nullptr) y += at(bias);
  if (scale != nullptr) y *= 1.0f + at(scale);
  if (shift != nullptr) y += at(shift);
  return y;
}

void row_normalise(const float* x, const float* weight, const float* bias, const float* scale, const float* shift,
                   float* y, std::size_t n, float mean, float correction, float factor) {
  each(
      n,
      [&](std::size_t i) {
        const auto at = [i](const float* p) __attribute__((always_inline)) { return load(p + i); };
        store(y + i, modulated(((at(x) - mean) - correction) * factor, weight, bias, scale, shift, at));
      },
      [&](std::size_t i, std::size_t left) {
        const auto at = [i, left](const float* p) __attribute__((always_inline)) { return load_part(p + i, left); };
        store_part(y + i, modulated(((at(x) - mean) - correction) * factor, weight, bias, scale, shift, at), left);
      });
}

void row_accumulate(const float* x, double* sums, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) sums[i] += x[i];
}

}  // namespace

extern const RowMath kRowMath = {row_sum,          row_moments, row_max,       row_min,
                                 row_exponentials, row_times,   row_normalise, row_accumulate};

}  // namespace fewstep::cpu::FEWSTEP_ISA

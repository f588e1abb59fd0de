#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "check.h"
#include "cpu/kernels.h"

// What the tests of the CPU's kernels share: views with holes around them, and runs of a kernel that must all agree.
namespace fewstep::cpu {

using Shape = std::vector<std::int64_t>;
using Doubles = std::vector<double>;
using Random = std::mt19937_64;

inline std::int64_t between(Random& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

inline double normal(Random& random) { return std::normal_distribution<double>()(random); }

inline std::int64_t count_of(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

// Offsets of a view's elements in row-major order.
inline std::vector<std::int64_t> offsets_of(const Value& value) {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(count_of(value.shape)));
  for (std::size_t e = 0; e < offsets.size(); ++e) {
    auto rest = static_cast<std::int64_t>(e);
    for (std::size_t axis = value.shape.size(); axis-- > 0; rest /= value.shape[axis]) {
      offsets[e] += rest % value.shape[axis] * value.strides[axis];
    }
  }
  return offsets;
}

struct Tensor {
  Value value;
  std::vector<std::byte> bytes;

  template <typename F>
  void each(F&& visit) {
    const std::vector<std::int64_t> offsets = offsets_of(value);
    for (std::size_t e = 0; e < offsets.size(); ++e) {
      std::byte* at = &bytes[static_cast<std::size_t>(value.offset + offsets[e]) * bytes_of(value.dtype)];
      visit(e, at);
    }
  }

  Doubles read() {
    Doubles values;
    each([&](std::size_t, const std::byte* at) { values.push_back(get(at)); });
    return values;
  }

  void fill(const std::function<double()>& make) {
    each([&](std::size_t, std::byte* at) { set(at, make()); });
  }

  void fill(const Doubles& values) {
    each([&](std::size_t e, std::byte* at) { set(at, values[e]); });
  }

  double get(const std::byte* at) const {
    switch (value.dtype) {
      case Dtype::i64:
        return static_cast<double>(as<std::int64_t>(at));
      case Dtype::i32:
        return as<std::int32_t>(at);
      case Dtype::u8:
        return as<std::uint8_t>(at);
      default:
        return as<float>(at);
    }
  }

  void set(std::byte* at, double x) {
    switch (value.dtype) {
      case Dtype::i64:
        return put(at, static_cast<std::int64_t>(x));
      case Dtype::i32:
        return put(at, static_cast<std::int32_t>(x));
      case Dtype::u8:
        return put(at, static_cast<std::uint8_t>(x));
      default:
        return put(at, static_cast<float>(x));
    }
  }

  template <typename T>
  static T as(const std::byte* at) {
    T x;
    std::memcpy(&x, at, sizeof x);
    return x;
  }

  template <typename T>
  static void put(std::byte* at, T x) {
    std::memcpy(at, &x, sizeof x);
  }
};

// Axes in memory from the outermost to the innermost, `gap` elements of padding after each; those of `repeated` have
// stride 0. All bytes are 0xff, which is NaN.
inline Tensor tensor(const Shape& shape, const std::vector<std::size_t>& order, std::int64_t gap = 0,
                     const std::vector<bool>& repeated = {}, Dtype dtype = Dtype::f32) {
  Tensor t;
  t.value.dtype = dtype;
  t.value.shape = shape;
  t.value.strides.resize(shape.size());
  std::int64_t stride = 1;
  for (std::size_t k = order.size(); k-- > 0;) {
    const std::size_t axis = order[k];
    const bool is_repeated = !repeated.empty() && repeated[axis];
    t.value.strides[axis] = is_repeated ? 0 : stride;
    if (!is_repeated) stride = stride * shape[axis] + gap;
  }
  t.value.offset = gap;
  t.bytes.assign(static_cast<std::size_t>(stride + 2 * gap) * bytes_of(dtype), std::byte{0xff});
  return t;
}

inline Tensor tensor(const Shape& shape, Dtype dtype = Dtype::f32) {
  std::vector<std::size_t> order(shape.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  return tensor(shape, order, 0, {}, dtype);
}

// Any order of axes, with or without gaps.
inline Tensor any_tensor(Random& random, const Shape& shape, Dtype dtype = Dtype::f32) {
  std::vector<std::size_t> order(shape.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (between(random, 0, 2) > 0) std::shuffle(order.begin(), order.end(), random);
  return tensor(shape, order, between(random, 0, 1) * between(random, 1, 3), {}, dtype);
}

inline std::vector<Isa> isas() {
  std::vector<Isa> all;
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (isa <= best_isa()) all.push_back(isa);
  }
  return all;
}

struct KernelCase {
  Op op;
  std::vector<std::optional<Tensor>> inputs, outputs;
  std::vector<int> in_place;  // of each output the input it shares its bytes with, or -1; may be shorter
  Moment moment;

  using Maker = std::unique_ptr<Kernel> (*)(const Problem&);

  // Runs on copies; outputs that are not in place begin as they are. What lies outside of the views must stay.
  void run(Maker make, Isa isa, int threads, std::string* fault = nullptr) {
    std::vector<std::optional<Tensor>> read = inputs, wrote = outputs;
    Problem problem{op, {}, {}, isa, threads};
    for (auto& t : read) problem.inputs.push_back(operand(t));
    for (std::size_t o = 0; o < wrote.size(); ++o) {
      const bool is_shared = o < in_place.size() && in_place[o] >= 0;
      problem.outputs.push_back(operand(is_shared ? read[static_cast<std::size_t>(in_place[o])] : wrote[o]));
    }
    const std::unique_ptr<Kernel> kernel = make(problem);
    const int used = kernel->alone() ? 1 : threads;
    for (int phase = 0; phase < kernel->phases(); ++phase) {
      for (int t = 0; t < used; ++t) kernel->run(moment, phase, phase % 2 == 0 ? t : used - 1 - t, used);
    }
    if (fault != nullptr) *fault = kernel->take_fault();
    results.clear();
    for (std::size_t o = 0; o < wrote.size(); ++o) {
      const bool is_shared = o < in_place.size() && in_place[o] >= 0;
      auto& t = is_shared ? read[static_cast<std::size_t>(in_place[o])] : wrote[o];
      results.push_back(t ? t->read() : Doubles{});
      if (t && !is_shared) check_outside(*t, *outputs[o]);
    }
  }

  // Every instruction set of this machine and 1, 2 and 3 threads, which must agree in every bit; then `check`.
  void check(Maker make, const std::function<void(const std::vector<Doubles>&)>& verify) {
    for (const Isa isa : isas()) {
      run(make, isa, 1);
      const std::vector<Doubles> first = results;
      verify(first);
      for (const int threads : {2, 3}) {
        run(make, isa, threads);
        for (std::size_t o = 0; o < first.size(); ++o) CHECK(same_bits(first[o], results[o]));
      }
    }
  }

  std::vector<Doubles> results;

 private:
  static Operand operand(std::optional<Tensor>& t) {
    if (!t) return {};
    return {t->bytes.data() + static_cast<std::size_t>(t->value.offset) * bytes_of(t->value.dtype), &t->value};
  }

  static bool same_bits(const Doubles& a, const Doubles& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
  }

  static void check_outside(Tensor after, Tensor before) {
    const auto clear = [](std::size_t, std::byte* at) { *at = std::byte{0}; };
    const std::size_t size = bytes_of(after.value.dtype);
    for (Tensor* t : {&after, &before}) {
      t->each(clear);
      t->each([&](std::size_t, std::byte* at) { std::fill_n(at, size, std::byte{0}); });
    }
    CHECK(after.bytes == before.bytes);
  }
};

// |got - expected| within `bound`, or both the same NaN or infinity.
inline bool near(double got, double expected, double bound) {
  if (std::isnan(expected)) return std::isnan(got);
  if (std::isinf(expected)) return got == expected;
  return std::abs(got - expected) <= bound;
}

// A float's spacing at x, that of the least normal below it, and 0 where x is not finite.
inline double ulp(double x) {
  if (!std::isfinite(x)) return 0;
  const double size = std::max(std::abs(x), static_cast<double>(std::numeric_limits<float>::min()));
  return std::ldexp(1.0, std::ilogb(size) - 23);
}

}  // namespace fewstep::cpu

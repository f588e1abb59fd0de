#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "check.h"
#include "cpu/kernels.h"

// Operands of one operation, made at random, for tests that compare a kernel with arithmetic in double.
namespace fewstep::cpu {

class Operands {
 public:
  explicit Operands(std::uint32_t seed) : random_(seed) {}

  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(random_() % static_cast<std::uint32_t>(bound));
  }
  template <typename T>
  T pick(std::initializer_list<T> of) {
    return of.begin()[below(static_cast<std::int64_t>(of.size()))];
  }

  // A view of normal numbers, its axes in memory in a random or the given order (outermost first), each with some room
  // left between its elements; what the view does not cover, and all of an output, is NaN.
  Operand view(const std::vector<std::int64_t>& shape, std::vector<std::size_t> order = {}, bool constant = false,
               bool output = false) {
    while (order.size() < shape.size()) {
      const std::size_t axis = order.empty() ? 0 : order.size();
      order.insert(order.begin() + below(static_cast<std::int64_t>(order.size()) + 1), axis);
    }
    Value& value = *values_.emplace_back(std::make_unique<Value>());
    value.shape = shape;
    value.strides.resize(shape.size());
    value.buffer = constant ? -1 : 0;
    std::int64_t size = below(3) == 0 ? 2 : 1;
    for (std::size_t i = order.size(); i-- > 0;) {
      value.strides[order[i]] = size;
      size *= shape[order[i]] + (below(3) == 0 ? below(4) : 0);
    }
    std::vector<float>& floats =
        blocks_.emplace_back(static_cast<std::size_t>(size), std::numeric_limits<float>::quiet_NaN());
    Operand operand{reinterpret_cast<std::byte*>(floats.data()), &value};
    if (!output) {
      std::normal_distribution<float> normal;
      each(shape, [&](const std::vector<std::int64_t>& at) { element(operand, at) = normal(random_); });
    }
    return operand;
  }

  template <typename Function>
  static void each(const std::vector<std::int64_t>& shape, Function function) {
    std::vector<std::int64_t> at(shape.size());
    for (;;) {
      function(at);
      std::size_t axis = shape.size();
      while (axis > 0 && ++at[axis - 1] == shape[axis - 1]) at[--axis] = 0;
      if (axis == 0) return;
    }
  }

  static float& element(const Operand& operand, const std::vector<std::int64_t>& at) {
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < at.size(); ++i) offset += at[i] * operand.value->strides[i];
    return operand.at<float>({})[offset];
  }

  Value& value_of(const Operand& operand) {
    for (const auto& value : values_) {
      if (value.get() == operand.value) return *value;
    }
    CHECK(false);
    return *values_.front();
  }

  static void poison(const Operand& operand) {
    each(operand.value->shape, [&](const auto& at) { element(operand, at) = std::numeric_limits<float>::quiet_NaN(); });
  }

 private:
  std::mt19937 random_;
  std::vector<std::unique_ptr<Value>> values_;
  std::vector<std::vector<float>> blocks_;
};

// A kernel that was made while its weight was zeros, and packed the weight anew.
template <typename Make>
std::unique_ptr<Kernel> repacked(Make make, const Problem& problem, const Operand& weight) {
  std::vector<float> kept;
  Operands::each(weight.value->shape, [&](const auto& at) { kept.push_back(Operands::element(weight, at)); });
  Operands::each(weight.value->shape, [&](const auto& at) { Operands::element(weight, at) = 0; });
  std::unique_ptr<Kernel> kernel = make(problem);
  std::size_t i = 0;
  Operands::each(weight.value->shape, [&](const auto& at) { Operands::element(weight, at) = kept[i++]; });
  kernel->repack();
  return kernel;
}

inline std::vector<Isa> isas() {
  std::vector<Isa> out{Isa::portable};
  if (best_isa() != Isa::portable) out.push_back(Isa::avx2);
  if (best_isa() == Isa::avx512) out.push_back(Isa::avx512);
  return out;
}

// Runs as `threads` threads would, one after the other: a kernel may not count on their order.
inline void run_all(Kernel& kernel, int threads) {
  for (int phase = 0; phase < kernel.phases(); ++phase) {
    for (int thread = threads; thread-- > 0;) kernel.run({}, phase, thread, threads);
  }
}

inline double activated(const std::string& name, double x) {
  if (name == "silu") return x / (1 + std::exp(-x));
  if (name == "relu") return std::max(x, 0.0);
  if (name == "gelu") return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
  if (name == "gelu_tanh") return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
  if (name == "sigmoid") return 1 / (1 + std::exp(-x));
  if (name == "tanh") return std::tanh(x);
  return x;
}

}  // namespace fewstep::cpu

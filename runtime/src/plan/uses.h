#pragma once

#include <array>
#include <vector>

#include "fewstep/plan.h"

namespace fewstep {

// The buffer of a value, or -1 of a weight or of a value that is left out.
inline std::int32_t buffer_of(const Plan& plan, std::int32_t value) noexcept {
  return value < 0 ? -1 : plan.values[static_cast<std::size_t>(value)].buffer;
}

// Calls visit(buffer) for every buffer that an op names, once or more.
template <typename F>
void each_buffer(const Plan& plan, const Op& op, F&& visit) {
  const auto value = [&](std::int32_t index) {
    if (buffer_of(plan, index) >= 0) visit(buffer_of(plan, index));
  };
  for (const std::int32_t index : op.inputs) value(index);
  for (const std::int32_t index : op.outputs) value(index);
  for (const Launch& launch : op.launches) {
    for (const Param& param : launch.params) value(param.value);
    if (!launch.product) continue;
    const LibraryProduct& product = *launch.product;
    for (const std::int32_t index : {product.a, product.b, product.bias, product.y, product.workspace}) value(index);
  }
}

// A sampler's history is carried from step to step: live throughout, and not read before it is written.
inline bool is_history(const Op& op, std::size_t input) noexcept { return op.kind == "sampler_step" && input == 5; }

// Those of tau, coefficients and scales.
inline std::vector<std::int32_t> schedule_buffers(const Plan& plan) {
  if (!plan.schedule) return {};
  return {buffer_of(plan, plan.schedule->tau.value), buffer_of(plan, plan.schedule->coefficients.value),
          buffer_of(plan, plan.schedule->scales.value)};
}

}  // namespace fewstep

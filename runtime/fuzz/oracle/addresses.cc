#include "oracle/addresses.h"

#include <algorithm>

namespace oracle {

using fewstep::Plan;
using fewstep::Value;

constexpr std::int64_t kMostElements = 4096;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

const Value& value_of(const Plan& plan, std::int32_t index) {
  require(index >= 0 && static_cast<std::size_t>(index) < plan.values.size());
  return plan.values[static_cast<std::size_t>(index)];
}

std::vector<Moment> moments(const Plan& plan) {
  std::vector<Moment> out{{0, 0}};
  if (!plan.schedule) return out;
  for (const auto& [count, first] : plan.schedule->counts) {
    for (const std::int64_t step : {std::int64_t{0}, std::min<std::int64_t>(1, count - 1), count - 1}) {
      out.push_back({first + step, step});
    }
  }
  return out;
}

std::vector<std::int64_t> addresses(const Value& value, Moment moment) {
  std::vector<std::int64_t> out{value.offset + moment.row * value.row + moment.step * value.step};
  for (std::size_t axis = 0; axis < value.shape.size(); ++axis) {
    if (static_cast<std::int64_t>(out.size()) * value.shape[axis] > kMostElements) return {};
    std::vector<std::int64_t> next;
    for (std::int64_t i = 0; i < value.shape[axis]; ++i) {
      for (const std::int64_t at : out) next.push_back(at + i * value.strides[axis]);
    }
    out = std::move(next);
  }
  for (std::int64_t& at : out) at *= static_cast<std::int64_t>(bytes_of(value.dtype));
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace oracle

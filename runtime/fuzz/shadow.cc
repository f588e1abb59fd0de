#include "shadow.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <unordered_set>

namespace {

using fewstep::Plan;
using fewstep::Value;

constexpr std::int64_t kMostBytes = 1 << 22, kMostElements = 2048;

struct Moment {
  std::int64_t row = 0, step = 0;
};

std::vector<Moment> moments(const Plan& plan) {
  std::vector<Moment> out{{0, 0}};
  if (!plan.schedule) return out;
  for (const auto& [count, first] : plan.schedule->counts) {
    for (const std::int64_t step : {std::int64_t{0}, count - 1}) out.push_back({first + step, step});
  }
  return out;
}

std::int64_t begin_of(const Value& value, Moment moment) {
  return value.offset + moment.row * value.row + moment.step * value.step;
}

void touch(const volatile char& place) { [[maybe_unused]] const char read = place; }

void touch(const Plan& plan, const std::vector<std::vector<char>>& buffers,
           const std::vector<std::vector<char>>& weights) {
  for (const Value& value : plan.values) {
    const std::vector<char>& block = value.buffer >= 0 ? buffers[static_cast<std::size_t>(value.buffer)]
                                                       : weights[static_cast<std::size_t>(value.weight)];
    for (const Moment moment : moments(plan)) {
      const std::int64_t first = begin_of(value, moment);
      std::int64_t last = first;
      for (std::size_t axis = 0; axis < value.shape.size(); ++axis)
        last += (value.shape[axis] - 1) * value.strides[axis];
      const auto size = static_cast<std::int64_t>(bytes_of(value.dtype));
      if (first < 0 || (last + 1) * size > static_cast<std::int64_t>(block.size())) __builtin_trap();
      touch(block.data()[first * size]);
      touch(block.data()[last * size + size - 1]);
    }
  }
}

// The addresses of a view's elements in bytes, by a plain walk; none if they are many.
std::vector<std::int64_t> addresses(const Value& value, Moment moment) {
  std::vector<std::int64_t> out{begin_of(value, moment)};
  for (std::size_t axis = 0; axis < value.shape.size(); ++axis) {
    if (static_cast<std::int64_t>(out.size()) * value.shape[axis] > kMostElements) return {};
    std::vector<std::int64_t> next;
    for (std::int64_t i = 0; i < value.shape[axis]; ++i) {
      for (const std::int64_t at : out) next.push_back(at + i * value.strides[axis]);
    }
    out = std::move(next);
  }
  const auto size = static_cast<std::int64_t>(bytes_of(value.dtype));
  std::vector<std::int64_t> bytes;
  for (const std::int64_t at : out) {
    for (std::int64_t k = 0; k < size; ++k) bytes.push_back(at * size + k);
  }
  return bytes;
}

bool is_same(const Value& a, const Value& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.strides == b.strides && a.offset == b.offset && a.row == b.row &&
         a.step == b.step;
}

void check_sharing(const Plan& plan, const fewstep::Op& op, Moment moment) {
  const auto at = [&](std::int32_t index) -> const Value& { return plan.values[static_cast<std::size_t>(index)]; };
  std::vector<std::pair<std::int32_t, std::unordered_set<std::int64_t>>> written;
  for (const std::int32_t index : op.outputs) {
    const Value& output = at(index);
    if (output.buffer < 0) __builtin_trap();
    std::unordered_set<std::int64_t> mine;
    for (const std::int64_t byte : addresses(output, moment)) {
      if (!mine.insert(byte).second) __builtin_trap();
      for (const auto& [buffer, others] : written) {
        if (buffer == output.buffer && others.contains(byte)) __builtin_trap();
      }
    }
    for (const std::int32_t other : op.inputs) {
      if (other < 0 || at(other).buffer != output.buffer || is_same(at(other), output)) continue;
      for (const std::int64_t byte : addresses(at(other), moment)) {
        if (mine.contains(byte)) __builtin_trap();
      }
    }
    written.emplace_back(output.buffer, std::move(mine));
  }
}

}  // namespace

void walk(const Plan& plan) {
  std::int64_t total = 0;
  for (const fewstep::Buffer& buffer : plan.buffers) total += std::min(buffer.bytes, kMostBytes);
  if (total >= kMostBytes) return;
  std::vector<std::vector<char>> buffers, weights;
  for (const fewstep::Buffer& buffer : plan.buffers) {
    if (buffer.offset < 0 || buffer.offset + buffer.bytes > plan.arena) __builtin_trap();
    buffers.emplace_back(static_cast<std::size_t>(buffer.bytes));
  }
  for (const fewstep::Weight& weight : plan.weights) {
    const auto* begin = reinterpret_cast<const char*>(weight.bytes.data());
    weights.emplace_back(begin, begin + weight.bytes.size());
  }
  touch(plan, buffers, weights);
  for (const fewstep::Stage& stage : plan.stages) {
    for (const fewstep::Op& op : stage.ops) {
      for (const Moment moment : moments(plan)) check_sharing(plan, op, moment);
    }
  }
}

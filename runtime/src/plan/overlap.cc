#include "plan/overlap.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "plan/checked.h"

namespace fewstep {
namespace {

struct Axis {
  std::int64_t stride = 0, extent = 0;  // extent: the largest index
};

// The axes of more than one element, in bytes, with one for the bytes of an item.
std::vector<Axis> axes_of(const Value& value) {
  const auto item = static_cast<std::int64_t>(bytes_of(value.dtype));
  std::vector<Axis> out;
  if (item > 1) out.push_back({1, item - 1});
  for (std::size_t axis = 0; axis < value.shape.size(); ++axis) {
    if (value.shape[axis] > 1) out.push_back({value.strides[axis] * item, value.shape[axis] - 1});
  }
  return out;
}

struct Digit {
  std::int64_t least = 0, most = 0;
};

// Addresses as numbers with a digit for each stride, largest first. Writes the least and the largest of each digit;
// false if some digit's sum carries into the next, so that an address would not say its digits.
bool digits(const Value& value, const std::vector<std::int64_t>& strides, std::vector<Digit>& out) {
  std::int64_t rest = value.offset * static_cast<std::int64_t>(bytes_of(value.dtype));
  const std::vector<Axis> axes = axes_of(value);
  out.clear();
  for (const std::int64_t stride : strides) {
    std::int64_t extent = 0;
    for (const Axis& axis : axes) extent += axis.stride == stride ? axis.extent : 0;
    const std::int64_t least = rest / stride;
    rest %= stride;
    out.push_back({least, least + extent});
  }
  std::int64_t below = 0;
  for (std::size_t k = strides.size(); k-- > 0;) {
    if (below >= strides[k]) return false;
    below += out[k].most * strides[k];
  }
  return true;
}

}  // namespace

Last last_of(const Plan& plan) noexcept {
  Last out;
  if (!plan.schedule) return out;
  for (const auto& [count, first] : plan.schedule->counts) {
    out.row = std::max(out.row, first + count - 1);
    out.step = std::max(out.step, count - 1);
  }
  return out;
}

bool reach(const Value& value, const Last& last, std::int64_t& end) noexcept {
  end = value.offset;
  const auto add = [&](std::int64_t count, std::int64_t stride) {
    std::int64_t distance = 0;
    return checked_multiply(count, stride, distance) && checked_add(end, distance, end);
  };
  if (!add(last.row, value.row) || !add(last.step, value.step)) return false;
  for (std::size_t axis = 0; axis < value.shape.size(); ++axis) {
    if (!add(value.shape[axis] - 1, value.strides[axis])) return false;
  }
  return checked_add(end, 1, end);
}

bool is_same_view(const Value& a, const Value& b) noexcept {
  return a.dtype == b.dtype && a.shape == b.shape && a.strides == b.strides && a.offset == b.offset && a.row == b.row &&
         a.step == b.step && a.buffer == b.buffer && a.weight == b.weight;
}

bool is_injective(const Value& value) {
  std::vector<Axis> axes = axes_of(value);
  std::sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) { return a.stride < b.stride; });
  std::int64_t below = 0;
  for (const Axis& axis : axes) {
    if (axis.stride <= below) return false;
    below += axis.stride * axis.extent;
  }
  return true;
}

bool are_disjoint(const Value& a, const Value& b, const Last& last) {
  if (a.buffer < 0 || a.buffer != b.buffer) return true;
  const auto bytes = [](const Value& value, std::int64_t elements) {
    return elements * static_cast<std::int64_t>(bytes_of(value.dtype));
  };
  const bool is_moved_alike = bytes(a, a.row) == bytes(b, b.row) && bytes(a, a.step) == bytes(b, b.step);
  const Last moved = is_moved_alike ? Last{} : last;
  std::int64_t end_a = 0, end_b = 0;
  if (!reach(a, moved, end_a) || !reach(b, moved, end_b)) return false;
  if (bytes(a, end_a) <= bytes(b, b.offset) || bytes(b, end_b) <= bytes(a, a.offset)) return true;
  if (!is_moved_alike) return false;

  std::vector<std::int64_t> strides{1};
  for (const Value* value : {&a, &b}) {
    for (const Axis& axis : axes_of(*value)) {
      if (axis.stride > 0) strides.push_back(axis.stride);
    }
  }
  std::sort(strides.begin(), strides.end(), std::greater<>());
  strides.erase(std::unique(strides.begin(), strides.end()), strides.end());
  std::vector<Digit> digits_a, digits_b;
  if (!digits(a, strides, digits_a) || !digits(b, strides, digits_b)) return false;
  for (std::size_t k = 0; k < strides.size(); ++k) {
    if (digits_a[k].most < digits_b[k].least || digits_b[k].most < digits_a[k].least) return true;
  }
  return false;
}

}  // namespace fewstep

#include "cpu/views.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "fewstep/error.h"

namespace fewstep::cpu {

Walk::Walk(std::span<const std::int64_t> sizes, std::span<const std::int64_t> strides) {
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    count_ *= sizes[axis];
    if (sizes[axis] == 1) continue;
    if (axes_ > 0 && strides_[axes_ - 1] == strides[axis] * sizes[axis]) {
      sizes_[axes_ - 1] *= sizes[axis];
      strides_[axes_ - 1] = strides[axis];
      continue;
    }
    if (axes_ == kAxes) {
      throw DeviceError(Fault::unavailable,
                        "a view has more than " + std::to_string(kAxes) + " axes that do not follow each other");
    }
    sizes_[axes_] = sizes[axis];
    strides_[axes_++] = strides[axis];
  }
  if (axes_ == 0) {
    sizes_[0] = strides_[0] = 1;
    axes_ = 1;
  }
}

std::vector<std::size_t> memory_order(const Value& value) {
  std::vector<std::size_t> order(value.shape.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return value.strides[a] > value.strides[b]; });
  return order;
}

Walk walk_of(const Value& value, std::span<const std::size_t> order) {
  std::vector<std::int64_t> sizes, strides;
  for (const std::size_t axis : order) {
    sizes.push_back(value.shape[axis]);
    strides.push_back(value.strides[axis]);
  }
  return {sizes, strides};
}

Walk walk_of(const Value& value, std::size_t first, std::size_t last) {
  return {std::span(value.shape).subspan(first, last - first), std::span(value.strides).subspan(first, last - first)};
}

float* dense(const Walk& walk, float* base, std::int64_t first, std::int64_t count) noexcept {
  if (walk.inner_stride() != 1 || first % walk.inner_size() + count > walk.inner_size()) return nullptr;
  return base + walk.offset(first);
}

const float* gather(const Walk& walk, const float* base, std::int64_t first, std::int64_t count, float* room) noexcept {
  const std::int64_t stride = walk.inner_stride();
  if (stride == 1 && first % walk.inner_size() + count <= walk.inner_size()) return base + walk.offset(first);
  walk.runs(first, count, [&](std::int64_t offset, std::int64_t done, std::int64_t length) {
    const float* from = base + offset;
    float* to = room + done;
    if (stride == 1) {
      std::copy_n(from, length, to);
    } else if (stride == 0) {
      std::fill_n(to, length, *from);
    } else {
      for (std::int64_t i = 0; i < length; ++i) to[i] = from[i * stride];
    }
  });
  return room;
}

void scatter(const Walk& walk, const float* from, float* base, std::int64_t first, std::int64_t count) noexcept {
  const std::int64_t stride = walk.inner_stride();
  walk.runs(first, count, [&](std::int64_t offset, std::int64_t done, std::int64_t length) {
    for (std::int64_t i = 0; i < length; ++i) base[offset + i * stride] = from[done + i];
  });
}

}  // namespace fewstep::cpu

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cpu/kernel.h"

namespace fewstep::cpu {

struct Share {
  std::int64_t first = 0, last = 0;
};

// The part of `count` units that is a thread's.
inline Share share_of(std::int64_t count, int thread, int threads) noexcept {
  return {count * thread / threads, count * (thread + 1) / threads};
}

// A strided view as the fewest nested loops, outermost first, that visit its elements in a given order.
//
// 1. At least one axis; no size is 1 but that of a lone axis.
class Walk {
 public:
  static constexpr std::size_t kAxes = 16;

  Walk() = default;
  // Throws DeviceError if more than kAxes axes are left.
  Walk(std::span<const std::int64_t> sizes, std::span<const std::int64_t> strides);

  std::int64_t count() const noexcept { return count_; }
  std::size_t axes() const noexcept { return axes_; }
  std::int64_t size(std::size_t axis) const noexcept { return sizes_[axis]; }
  std::int64_t stride(std::size_t axis) const noexcept { return strides_[axis]; }
  std::int64_t inner_size() const noexcept { return sizes_[axes_ - 1]; }
  std::int64_t inner_stride() const noexcept { return strides_[axes_ - 1]; }

  std::int64_t offset(std::int64_t element) const noexcept {
    std::int64_t sum = 0;
    for (std::size_t axis = axes_; axis-- > 0; element /= sizes_[axis]) {
      sum += element % sizes_[axis] * strides_[axis];
    }
    return sum;
  }

  // Calls visit(offset, done, length) for each run along the innermost axis of elements first to first + count - 1.
  template <typename Visit>
  void runs(std::int64_t first, std::int64_t count, Visit&& visit) const noexcept {
    std::array<std::int64_t, kAxes> index;
    std::int64_t offset = 0;
    for (std::size_t axis = axes_; axis-- > 0; first /= sizes_[axis]) {
      index[axis] = first % sizes_[axis];
      offset += index[axis] * strides_[axis];
    }
    const std::size_t inner = axes_ - 1;
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t left = sizes_[inner] - index[inner], length = left < count - done ? left : count - done;
      visit(offset, done, length);
      done += length;
      offset -= index[inner] * strides_[inner];
      index[inner] = 0;
      for (std::size_t axis = inner; axis-- > 0;) {
        offset += strides_[axis];
        if (++index[axis] < sizes_[axis]) break;
        offset -= sizes_[axis] * strides_[axis];
        index[axis] = 0;
      }
    }
  }

 private:
  std::size_t axes_ = 0;
  std::int64_t count_ = 1;
  std::array<std::int64_t, kAxes> sizes_{}, strides_{};
};

// The axes of a view from its largest stride to its smallest: the order in which memory is best written.
std::vector<std::size_t> memory_order(const Value& value);

// The walk over an operand whose axes are taken in `order`.
Walk walk_of(const Value& value, std::span<const std::size_t> order);
// The same over axes [first, last) in their own order.
Walk walk_of(const Value& value, std::size_t first, std::size_t last);

// Elements first to first + count - 1 of a view as floats, where they lie if they follow each other there, else in
// `room`.
const float* gather(const Walk& walk, const float* base, std::int64_t first, std::int64_t count, float* room) noexcept;
// Where elements first to first + count - 1 may be written in a row, or null if they do not follow each other.
float* dense(const Walk& walk, float* base, std::int64_t first, std::int64_t count) noexcept;
void scatter(const Walk& walk, const float* from, float* base, std::int64_t first, std::int64_t count) noexcept;

}  // namespace fewstep::cpu

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cuda/abi.h"
#include "fewstep/value.h"

namespace fewstep::cuda {

// One copy between the host's bytes at an offset and rows of the device's memory.
struct Copy {
  Address device = 0;
  std::size_t host = 0, width = 0, height = 1, pitch = 0;  // pitch: from row to row on the device
};

// A strided view and the contiguous bytes that a caller has of it: in between they lie in the view's own order.
//
// 1. A view whose elements fill a range without gaps, in any order of its axes, is one copy.
class ViewLayout {
 public:
  explicit ViewLayout(const Value& value);

  std::size_t bytes() const noexcept { return bytes_; }
  bool dense() const noexcept { return runs_.empty(); }
  std::vector<Copy> copies(Address device, std::size_t host) const;
  void to_view_order(std::span<const std::byte> caller, std::byte* ordered) const;
  void to_caller_order(const std::byte* ordered, std::span<std::byte> caller) const;

 private:
  struct Axis {
    std::size_t size, device, caller;  // strides in bytes
  };
  template <typename Move>
  void walk(std::size_t depth, std::size_t& ordered, std::size_t caller, const Move& move) const;

  std::size_t element_ = 0, bytes_ = 0, width_ = 0;  // width: bytes that follow each other on the device
  std::vector<Axis> axes_;                           // outermost on the device first
  std::vector<Axis> runs_;                           // what repeats the width, outermost first
};

}  // namespace fewstep::cuda

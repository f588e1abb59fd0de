#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fewstep {

enum class Dtype : std::uint8_t { f32, f16, bf16, i64, i32, u8 };

constexpr std::size_t bytes_of(Dtype type) noexcept {
  return type == Dtype::i64 ? 8 : type == Dtype::u8 ? 1 : type == Dtype::f16 || type == Dtype::bf16 ? 2 : 4;
}

// A strided view of a buffer, or of a weight if `buffer` is negative. Strides, offset, row and step are in elements.
//
// 1. At step i of N it begins at offset + (first row of N + i) * row + i * step.
// 2. No stride is negative; 0 repeats an element.
struct Value {
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape, strides;
  std::int64_t offset = 0, row = 0, step = 0;
  std::int32_t buffer = -1, weight = -1;
};

}  // namespace fewstep

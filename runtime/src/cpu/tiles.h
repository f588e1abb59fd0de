#pragma once

#include "cpu/simd/gemm.h"

namespace fewstep::cpu {

// A product of `rows` rows by one panel, tile after tile. Meanwhile `next`, which will be multiplied after it and is as
// long as b, comes into the first cache. tile: for its first row; what it says of prefetching is overwritten.
void multiply_rows(const Gemm& gemm, Tile tile, std::int64_t rows, std::int64_t vectors, const float* next) noexcept;

}  // namespace fewstep::cpu

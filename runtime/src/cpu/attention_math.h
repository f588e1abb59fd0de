#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace fewstep::cpu {

struct AttentionMath {
  std::int64_t lanes;
  // c (rows, columns) = or += a (rows, depth) b (depth, columns), each with the elements from one row to the next;
  // columns is a multiple of lanes.
  void (*product)(const float* a, std::int64_t pitch_a, const float* b, std::int64_t pitch_b, float* c,
                  std::int64_t pitch_c, std::int64_t rows, std::int64_t columns, std::int64_t depth, bool accumulate);
};

const AttentionMath& attention_math(Isa isa) noexcept;

}  // namespace fewstep::cpu

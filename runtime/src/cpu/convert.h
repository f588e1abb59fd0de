#pragma once

#include <cstdint>

#include "cpu/views.h"

namespace fewstep::cpu {

// A tile of a view of f32, i64, i32 or u8 as floats, where it lies if that can be, else in `room`.
const float* read_tile(const Operand& x, const Walk& walk, Moment moment, std::int64_t first, std::int64_t count,
                       float* room) noexcept;

// Floats into a view. To integers they are cut towards 0 and held within the type's range; NaN becomes 0.
void write_tile(const Operand& y, const Walk& walk, Moment moment, std::int64_t first, std::int64_t count,
                const float* from) noexcept;

}  // namespace fewstep::cpu

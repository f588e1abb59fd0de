#pragma once

#include <cstddef>

#include "fewstep/value.h"

namespace fewstep::cpu {

// Copies between a view, whose first element is at `view`, and the same elements without gaps in row-major order.
void copy_in(const Value& value, std::byte* view, const std::byte* packed) noexcept;
void copy_out(const Value& value, const std::byte* view, std::byte* packed) noexcept;

}  // namespace fewstep::cpu

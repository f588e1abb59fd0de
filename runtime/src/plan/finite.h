#pragma once

#include <cstddef>
#include <span>

#include "fewstep/value.h"

namespace fewstep {

// Whether no item is NaN or infinite, as integers never are. The bytes may begin at any address.
bool is_finite(Dtype dtype, std::span<const std::byte> bytes) noexcept;

}  // namespace fewstep

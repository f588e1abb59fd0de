#pragma once

#include <cstdint>

namespace fewstep {

// False, and out unspecified, if the result is beyond int64.
inline bool checked_add(std::int64_t a, std::int64_t b, std::int64_t& out) noexcept {
  return !__builtin_add_overflow(a, b, &out);
}
inline bool checked_multiply(std::int64_t a, std::int64_t b, std::int64_t& out) noexcept {
  return !__builtin_mul_overflow(a, b, &out);
}

}  // namespace fewstep

#pragma once

#include <bit>
#include <cstdint>

namespace fewstep::cpu {

// The same number as a float: exact for every half, also where it is denormal, infinite or NaN.
inline float of_f16(std::uint16_t half) noexcept {
  const std::uint32_t sign = (half & 0x8000u) << 16, rest = (half & 0x7fffu) << 13;
  const std::uint32_t top = (half & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;  // infinite or NaN stays so
  const float scaled = std::bit_cast<float>(rest) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | sign | top);
}

inline float of_bf16(std::uint16_t half) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16);
}

}  // namespace fewstep::cpu

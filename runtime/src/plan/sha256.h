#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace fewstep {

// FIPS 180-4. The instructions of x86-64 are used where the machine has them; is_portable leaves them out.
using Sha256 = std::array<std::uint8_t, 32>;
Sha256 sha256(std::span<const std::byte> data, bool is_portable = false) noexcept;

std::string hex(const Sha256& digest);

}  // namespace fewstep

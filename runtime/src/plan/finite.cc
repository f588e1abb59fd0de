#include "plan/finite.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace fewstep {
namespace {

// Whether any item has all bits of `exponent` set, as NaN and the infinities have.
template <typename Item>
bool has_special(std::span<const std::byte> bytes, Item exponent) noexcept {
  constexpr std::size_t kBlock = 4096 / sizeof(Item);
  const std::size_t count = bytes.size() / sizeof(Item);
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t end = std::min(count, begin + kBlock);
    Item seen = 0;
    for (std::size_t i = begin; i < end; ++i) {
      Item item;
      std::memcpy(&item, bytes.data() + i * sizeof item, sizeof item);
      seen = static_cast<Item>(seen | static_cast<Item>((item & exponent) == exponent));
    }
    if (seen != 0) return true;
  }
  return false;
}

}  // namespace

bool is_finite(Dtype dtype, std::span<const std::byte> bytes) noexcept {
  switch (dtype) {
    case Dtype::f32:
      return !has_special<std::uint32_t>(bytes, 0x7f800000);
    case Dtype::f16:
      return !has_special<std::uint16_t>(bytes, 0x7c00);
    case Dtype::bf16:
      return !has_special<std::uint16_t>(bytes, 0x7f80);
    default:
      return true;
  }
}

}  // namespace fewstep

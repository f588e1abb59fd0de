#include <cstring>

#include "pages.h"
#include "plan/check.h"
#include "plan/fields.h"
#include "plan/sha256.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

// Whether any item has all bits of `exponent` set, as NaN and the infinities have.
template <typename Item>
bool has_special(std::span<const std::byte> bytes, Item exponent) noexcept {
  constexpr std::size_t kBlock = 4096 / sizeof(Item);
  const std::size_t count = bytes.size() / sizeof(Item);
  const auto* items = reinterpret_cast<const Item*>(bytes.data());
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t end = std::min(count, begin + kBlock);
    Item seen = 0;
    for (std::size_t i = begin; i < end; ++i) {
      seen = static_cast<Item>(seen | static_cast<Item>((items[i] & exponent) == exponent));
    }
    if (seen != 0) return true;
  }
  return false;
}

bool is_finite(const Weight& weight) noexcept {
  switch (weight.dtype) {
    case Dtype::f32:
      return !has_special<std::uint32_t>(weight.bytes, 0x7f800000);
    case Dtype::f16:
      return !has_special<std::uint16_t>(weight.bytes, 0x7c00);
    case Dtype::bf16:
      return !has_special<std::uint16_t>(weight.bytes, 0x7f80);
    default:
      return true;
  }
}

}  // namespace

void check_weights(const Draft& draft) {
  for (std::size_t i = 0; i < draft.plan.weights.size(); ++i) {
    const Weight& weight = draft.plan.weights[i];
    const std::string name = in_quotes(weight.name);
    const Place tensors("tensors"), place(tensors, name);
    if (!is_finite(weight)) place.fail("expected finite weights, got NaN or Inf");
    const std::string digest = hex(sha256(weight.bytes));
    if (digest != draft.digests[i]) {
      place.fail("damaged: expected SHA-256 " + draft.digests[i] + ", got " + digest);
    }
    release_pages(draft.plan, weight);
  }
}

}  // namespace fewstep

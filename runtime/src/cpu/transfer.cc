#include "cpu/transfer.h"

#include <cstdint>
#include <cstring>

namespace fewstep::cpu {
namespace {

// The elements of axes `axis` and later, if they lie in the view as they do in row-major order; else 0.
std::int64_t run_of(const Value& value, std::size_t axis) noexcept {
  std::int64_t run = 1;
  for (std::size_t i = value.shape.size(); i-- > axis;) {
    if (value.shape[i] != 1 && value.strides[i] != run) return 0;
    run *= value.shape[i];
  }
  return run;
}

// copy(view, packed, bytes) for each run of neighbours. Returns where the packed elements go on.
template <typename View, typename Packed, typename Copy>
Packed* walk(const Value& value, std::size_t axis, View* view, Packed* packed, const Copy& copy) noexcept {
  const std::size_t size = bytes_of(value.dtype);
  if (const std::int64_t run = run_of(value, axis); run > 0 || axis == value.shape.size()) {
    const std::size_t bytes = static_cast<std::size_t>(run) * size;
    copy(view, packed, bytes);
    return packed + bytes;
  }
  for (std::int64_t i = 0; i < value.shape[axis]; ++i) {
    packed = walk(value, axis + 1, view, packed, copy);
    view += value.strides[axis] * static_cast<std::int64_t>(size);
  }
  return packed;
}

}  // namespace

void copy_in(const Value& value, std::byte* view, const std::byte* packed) noexcept {
  walk(value, 0, view, packed, [](std::byte* to, const std::byte* from, std::size_t n) { std::memcpy(to, from, n); });
}

void copy_out(const Value& value, const std::byte* view, std::byte* packed) noexcept {
  walk(value, 0, view, packed, [](const std::byte* from, std::byte* to, std::size_t n) { std::memcpy(to, from, n); });
}

}  // namespace fewstep::cpu

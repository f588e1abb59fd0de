#include "cpu/convert.h"

#include <limits>

namespace fewstep::cpu {
namespace {

template <typename T>
void read(const T* base, const Walk& walk, std::int64_t first, std::int64_t count, float* room) noexcept {
  const std::int64_t stride = walk.inner_stride();
  walk.runs(first, count, [&](std::int64_t offset, std::int64_t done, std::int64_t length) {
    for (std::int64_t i = 0; i < length; ++i) room[done + i] = static_cast<float>(base[offset + i * stride]);
  });
}

template <typename T>
T held(float x) noexcept {
  using Limits = std::numeric_limits<T>;
  constexpr auto kLow = static_cast<float>(Limits::min()), kHigh = static_cast<float>(Limits::max());
  if (!(x > kLow)) return x <= kLow ? Limits::min() : T{0};
  return x < kHigh ? static_cast<T>(x) : Limits::max();
}

template <typename T>
void write(T* base, const Walk& walk, std::int64_t first, std::int64_t count, const float* from) noexcept {
  const std::int64_t stride = walk.inner_stride();
  walk.runs(first, count, [&](std::int64_t offset, std::int64_t done, std::int64_t length) {
    for (std::int64_t i = 0; i < length; ++i) base[offset + i * stride] = held<T>(from[done + i]);
  });
}

}  // namespace

const float* read_tile(const Operand& x, const Walk& walk, Moment moment, std::int64_t first, std::int64_t count,
                       float* room) noexcept {
  switch (x.value->dtype) {
    case Dtype::i64:
      read(x.at<const std::int64_t>(moment), walk, first, count, room);
      return room;
    case Dtype::i32:
      read(x.at<const std::int32_t>(moment), walk, first, count, room);
      return room;
    case Dtype::u8:
      read(x.at<const std::uint8_t>(moment), walk, first, count, room);
      return room;
    default:
      return gather(walk, x.at<const float>(moment), first, count, room);
  }
}

void write_tile(const Operand& y, const Walk& walk, Moment moment, std::int64_t first, std::int64_t count,
                const float* from) noexcept {
  switch (y.value->dtype) {
    case Dtype::i64:
      return write(y.at<std::int64_t>(moment), walk, first, count, from);
    case Dtype::i32:
      return write(y.at<std::int32_t>(moment), walk, first, count, from);
    case Dtype::u8:
      return write(y.at<std::uint8_t>(moment), walk, first, count, from);
    default:
      return scatter(walk, from, y.at<float>(moment), first, count);
  }
}

}  // namespace fewstep::cpu

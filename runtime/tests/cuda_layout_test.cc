#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "cuda/scalar.h"
#include "cuda/view_layout.h"

namespace {

using fewstep::cuda::Copy;
using fewstep::cuda::ViewLayout;

// A view of up to four axes in any order, with gaps between some.
fewstep::Value random_view(std::mt19937& random, bool gaps) {
  fewstep::Value value;
  value.dtype = fewstep::Dtype::i32;
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < random() % 5; ++i) {
    value.shape.push_back(1 + static_cast<std::int64_t>(random() % 4));
    value.strides.push_back(0);
    order.insert(order.begin() + static_cast<std::ptrdiff_t>(random() % (order.size() + 1)), i);
  }
  std::int64_t stride = 1;
  for (const std::size_t i : order) {
    if (gaps && random() % 2 == 0) stride += static_cast<std::int64_t>(random() % 3);
    value.strides[i] = stride;
    stride *= value.shape[i];
  }
  return value;
}

// Calls f(place on the device, place with the caller), in elements.
template <typename F>
void each(const fewstep::Value& value, F&& f, std::size_t axis = 0, std::int64_t device = 0,
          std::int64_t* count = nullptr) {
  std::int64_t own = 0;
  if (count == nullptr) count = &own;
  if (axis == value.shape.size()) return f(static_cast<std::size_t>(device), static_cast<std::size_t>((*count)++));
  for (std::int64_t k = 0; k < value.shape[axis]; ++k)
    each(value, f, axis + 1, device + k * value.strides[axis], count);
}

void test_views() {
  std::mt19937 random(7);
  for (int trial = 0; trial < 2000; ++trial) {
    const bool gaps = trial % 2 == 1;
    const fewstep::Value value = random_view(random, gaps);
    const ViewLayout layout(value);
    std::vector<std::int32_t> caller(layout.bytes() / 4), ordered(caller.size()), device(4096, -1), back(caller.size());
    for (std::size_t i = 0; i < caller.size(); ++i) caller[i] = static_cast<std::int32_t>(i);
    layout.to_view_order(std::as_bytes(std::span(caller)), reinterpret_cast<std::byte*>(ordered.data()));
    const std::vector<Copy> copies = layout.copies(0, 0);
    CHECK(gaps || (layout.dense() && copies.size() == 1 && copies[0].height == 1));
    for (const Copy& copy : copies) {
      for (std::size_t row = 0; row < copy.height; ++row) {
        std::memcpy(reinterpret_cast<std::byte*>(device.data()) + copy.device + row * copy.pitch,
                    reinterpret_cast<const std::byte*>(ordered.data()) + copy.host + row * copy.width, copy.width);
      }
    }
    std::size_t written = 0;
    each(value, [&](std::size_t place, std::size_t i) { CHECK(device[place] == caller[i]); });
    for (const std::int32_t element : device) written += element != -1;
    CHECK(written == caller.size());  // nothing in the gaps
    layout.to_caller_order(reinterpret_cast<const std::byte*>(ordered.data()), std::as_writable_bytes(std::span(back)));
    CHECK(back == caller);
  }
}

std::uint16_t bits(const char* kind, double value) {
  fewstep::Param param;
  param.kind = kind;
  param.real = value;
  std::byte bytes[2];
  fewstep::cuda::write_scalar(param, bytes);
  std::uint16_t found;
  std::memcpy(&found, bytes, sizeof found);
  return found;
}

double value_of(std::uint16_t number, int mantissa) {
  const int exponent = (number & 0x7fff) >> mantissa, bias = (1 << (14 - mantissa)) - 1;
  const double fraction = std::ldexp(number & ((1 << mantissa) - 1), -mantissa);
  const double size = std::ldexp(exponent == 0 ? fraction : 1 + fraction, std::max(exponent, 1) - bias);
  return number & 0x8000 ? -size : size;
}

// Every finite number is itself, what lies in between goes to the nearer one, and halfway to the even one.
void test_halves() {
  struct Format {
    const char* kind;
    int mantissa;
  };
  for (const auto& [kind, mantissa] : {Format{"fp16", 10}, Format{"bf16", 7}}) {
    const auto infinity = static_cast<std::uint16_t>(((1 << (15 - mantissa)) - 1) << mantissa);
    for (std::uint16_t number = 0; number + 1 < infinity; ++number) {
      const double low = value_of(number, mantissa), high = value_of(static_cast<std::uint16_t>(number + 1), mantissa);
      const auto even = static_cast<std::uint16_t>(number + number % 2);
      CHECK(bits(kind, low) == number && bits(kind, -high) == (0x8000 | (number + 1)));
      CHECK(bits(kind, (low + high) / 2) == even);
      CHECK(bits(kind, low + (high - low) * 0.49) == number && bits(kind, low + (high - low) * 0.51) == number + 1);
    }
    CHECK(bits(kind, std::numeric_limits<double>::infinity()) == infinity && bits(kind, -1e300) == (0x8000 | infinity));
    CHECK((bits(kind, std::nan("")) & 0x7fff) > infinity);
  }
}

template <typename T>
void check_whole(const char* kind, std::int64_t value) {
  fewstep::Param param;
  param.kind = kind;
  param.integer = value;
  param.real = static_cast<double>(value);
  CHECK(fewstep::cuda::scalar_bytes(kind) == sizeof(T));
  T found{};
  fewstep::cuda::write_scalar(param, reinterpret_cast<std::byte*>(&found));
  CHECK(found == static_cast<T>(value));
}

void test_scalars() {
  check_whole<bool>("i1", 1);
  check_whole<bool>("u1", 1);
  check_whole<std::int8_t>("i8", -128);
  check_whole<std::uint8_t>("u8", 255);
  check_whole<std::int16_t>("i16", -32768);
  check_whole<std::uint16_t>("u16", 65535);
  check_whole<std::int32_t>("i32", -7);
  check_whole<std::uint32_t>("u32", 0xffffffff);
  check_whole<std::int64_t>("i64", std::numeric_limits<std::int64_t>::min());
  check_whole<std::uint64_t>("u64", -1);
  check_whole<float>("fp32", 3);
  check_whole<double>("fp64", -3);
}

}  // namespace

int main() {
  test_views();
  test_halves();
  test_scalars();
}

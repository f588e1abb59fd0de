#include "cuda/scalar.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace fewstep::cuda {
namespace {

// Of a format with one sign bit, `exponent` and `mantissa` bits.
std::uint16_t half_bits(double value, int exponent, int mantissa) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) << 15);
  const int bias = (1 << (exponent - 1)) - 1, infinity = ((1 << exponent) - 1) << mantissa;
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | infinity | 1 << (mantissa - 1));
  const double magnitude = std::fabs(value);
  if (std::isinf(magnitude)) return static_cast<std::uint16_t>(sign | infinity);
  if (magnitude == 0) return sign;
  const int power = std::max(std::ilogb(magnitude), 1 - bias);  // subnormals share the smallest power
  // In units of the last place: the hidden bit, and a carry out of the mantissa, raise the exponent by themselves.
  const auto units = static_cast<std::int64_t>(std::nearbyint(std::ldexp(magnitude, mantissa - power)));
  const std::int64_t bits = (static_cast<std::int64_t>(power + bias - 1) << mantissa) + units;
  return static_cast<std::uint16_t>(sign | std::min<std::int64_t>(bits, infinity));
}

template <typename T>
void put(std::byte* place, T value) {
  std::memcpy(place, &value, sizeof value);
}

}  // namespace

std::size_t scalar_bytes(const std::string& kind) {
  if (kind == "i1" || kind == "u1" || kind == "i8" || kind == "u8") return 1;
  if (kind == "i16" || kind == "u16" || kind == "fp16" || kind == "bf16") return 2;
  if (kind == "i32" || kind == "u32" || kind == "fp32") return 4;
  if (kind == "i64" || kind == "u64" || kind == "fp64") return 8;
  throw std::invalid_argument("a parameter's kind: expected a scalar's, got " + kind);
}

void write_scalar(const Param& param, std::byte* place) {
  if (param.kind == "fp16") return put(place, half_bits(param.real, 5, 10));
  if (param.kind == "bf16") return put(place, half_bits(param.real, 8, 7));
  if (param.kind == "fp32") return put(place, static_cast<float>(param.real));
  if (param.kind == "fp64") return put(place, param.real);
  switch (scalar_bytes(param.kind)) {
    case 1:
      return put(place, static_cast<std::int8_t>(param.integer));
    case 2:
      return put(place, static_cast<std::int16_t>(param.integer));
    case 4:
      return put(place, static_cast<std::int32_t>(param.integer));
    default:
      return put(place, param.integer);
  }
}

}  // namespace fewstep::cuda

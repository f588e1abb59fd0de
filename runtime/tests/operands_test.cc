#include "cpu/operands.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include "check.h"
#include "cpu/half.h"
#include "fewstep/error.h"

namespace {

using fewstep::Dtype;
using fewstep::cpu::Operands;

// By the definition of IEEE 754 binary16.
double f16(std::uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const double sign = half >> 15 ? -1.0 : 1.0;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(fraction + 1024, exponent - 25));
}

void test_every_half_is_widened_exactly() {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float wide = fewstep::cpu::of_f16(half);
    const double expected = f16(half);
    CHECK(std::isnan(expected) ? std::isnan(wide) : wide == expected && std::signbit(wide) == std::signbit(expected));
    CHECK(std::bit_cast<std::uint32_t>(fewstep::cpu::of_bf16(half)) == bits << 16);
  }
}

fewstep::Value value_of(Dtype dtype, std::int64_t size, std::int64_t offset, std::int32_t buffer, std::int32_t weight) {
  fewstep::Value value{dtype, {size}, {1}, offset};
  value.buffer = buffer;
  value.weight = weight;
  return value;
}

void test_values_lie_where_the_plan_says() {
  alignas(8) static const std::uint16_t halves[] = {0x3c00, 0xc000, 0x3800, 0x0001};
  alignas(8) static const float floats[] = {1.5f, 2.5f};
  alignas(8) static std::byte odd[9];
  std::memcpy(odd + 1, floats, 8);
  auto plan = std::make_shared<fewstep::Plan>();
  plan->arena = 512;
  plan->buffers = {{0, 64}, {64, 448}};
  plan->weights = {{"h", Dtype::f16, {4}, std::as_bytes(std::span(halves))},
                   {"f", Dtype::f32, {2}, std::as_bytes(std::span(floats))},
                   {"o", Dtype::f32, {2}, std::span<const std::byte>(odd).subspan(1)}};
  plan->values = {value_of(Dtype::f32, 4, 0, 0, -1), value_of(Dtype::i64, 4, 3, 1, -1),
                  value_of(Dtype::f16, 3, 1, -1, 0), value_of(Dtype::f32, 1, 1, -1, 1),
                  value_of(Dtype::f32, 2, 0, -1, 2)};
  const Operands operands(plan);
  CHECK(!operands[-1]);
  CHECK(reinterpret_cast<std::uintptr_t>(operands[0].base) % 256 == 0);
  CHECK(operands[1].base == operands[0].base + 64 + 24);
  CHECK(std::isnan(*operands[0].at<float>({})));  // nobody wrote it
  const float* wide = operands[2].at<float>({});
  CHECK(operands[2].value->dtype == Dtype::f32 && wide[0] == -2 && wide[1] == 0.5f && wide[2] == 0x1p-24f);
  CHECK(operands[3].at<float>({}) == floats + 1);
  CHECK(operands[4].at<float>({})[1] == 2.5f);
  CHECK(operands.weight_bytes() == 16 + 8);
}

void test_what_a_cpu_cannot_hold_is_refused() {
  auto halves = std::make_shared<fewstep::Plan>();
  halves->arena = 64;
  halves->buffers = {{0, 64}};
  halves->values = {value_of(Dtype::bf16, 4, 0, 0, -1)};
  bool refused = false;
  try {
    const Operands operands(halves);
  } catch (const fewstep::PlanError&) {
    refused = true;
  }
  CHECK(refused);
  auto huge = std::make_shared<fewstep::Plan>();
  huge->arena = std::int64_t{1} << 60;
  refused = false;
  try {
    const Operands operands(huge);
  } catch (const fewstep::DeviceError& error) {
    refused = error.fault() == fewstep::Fault::out_of_memory;
  }
  CHECK(refused);
}

}  // namespace

int main() {
  test_every_half_is_widened_exactly();
  test_values_lie_where_the_plan_says();
  test_what_a_cpu_cannot_hold_is_refused();
}

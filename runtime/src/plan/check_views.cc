#include <string>

#include "plan/check.h"
#include "plan/checked.h"
#include "plan/fields.h"
#include "plan/overlap.h"

namespace fewstep {
namespace {

constexpr std::int64_t kAlignment = 64, kMostElements = std::int64_t{1} << 40;

void check_buffers(const Place& place, const Plan& plan) {
  for (std::size_t i = 0; i < plan.buffers.size(); ++i) {
    const auto [offset, bytes] = plan.buffers[i];
    if (offset % kAlignment != 0) Place(place, i).fail("offset " + std::to_string(offset) + " is no multiple of 64");
    if (bytes == 0 || bytes > plan.arena - offset) {
      Place(place, i).fail(std::to_string(bytes) + " bytes at " + std::to_string(offset) + " are not in an arena of " +
                           std::to_string(plan.arena));
    }
  }
}

void check_view(const Place& place, const Value& value, const Last& last, const Plan& plan) {
  std::int64_t elements = 1;
  for (const std::int64_t size : value.shape) {
    if (!checked_multiply(elements, size, elements) || elements > kMostElements) {
      place.fail("shape: expected at most " + std::to_string(kMostElements) + " elements");
    }
  }
  const bool is_weight = value.weight >= 0;
  std::int64_t room = 0;
  if (is_weight) {
    const Weight& weight = plan.weights[static_cast<std::size_t>(value.weight)];
    if (weight.dtype != value.dtype) place.fail("its type is not that of its weight");
    room = static_cast<std::int64_t>(weight.bytes.size());
  } else {
    room = plan.buffers[static_cast<std::size_t>(value.buffer)].bytes;
    if (plan.device == "cpu" && (value.dtype == Dtype::f16 || value.dtype == Dtype::bf16)) {
      place.fail("on a CPU what lies between operations is f32, and a buffer holds no f16 or bf16");
    }
  }
  std::int64_t end = 0, bytes = 0;
  if (!reach(value, last, end) || !checked_multiply(end, static_cast<std::int64_t>(bytes_of(value.dtype)), bytes) ||
      bytes > room) {
    place.fail("reaches beyond the " + std::to_string(room) + " bytes of its " + (is_weight ? "weight" : "buffer"));
  }
}

}  // namespace

void check_views(const Plan& plan) {
  const Place program("program"), buffers(program, "buffers"), values(program, "values");
  check_buffers(buffers, plan);
  const Last last = last_of(plan);
  for (std::size_t i = 0; i < plan.values.size(); ++i) check_view(Place(values, i), plan.values[i], last, plan);
}

}  // namespace fewstep

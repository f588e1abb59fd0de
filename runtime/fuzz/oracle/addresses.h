#pragma once

#include <cstdint>
#include <vector>

#include "fewstep/plan.h"

namespace oracle {

// A step of a run, and its row of the schedule.
struct Moment {
  std::int64_t row = 0, step = 0;
};

// The first steps and the last of every step count; 0 alone of a network.
std::vector<Moment> moments(const fewstep::Plan& plan);

// The addresses in bytes of a view's elements in their block, sorted, by a plain walk; none if they are many.
std::vector<std::int64_t> addresses(const fewstep::Value& value, Moment moment);

const fewstep::Value& value_of(const fewstep::Plan& plan, std::int32_t index);

void require(bool condition);

}  // namespace oracle

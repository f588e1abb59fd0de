#pragma once

#include <cstdint>

#include "fewstep/plan.h"

namespace fewstep {

// The largest i of a step and the largest row of the schedule that a run reaches: how far `step` and `row` move a view.
struct Last {
  std::int64_t row = 0, step = 0;
};
Last last_of(const Plan& plan) noexcept;

// One past the last element that a view reaches, wherever it moves. False if that is beyond int64.
bool reach(const Value& value, const Last& last, std::int64_t& end) noexcept;

bool is_same_view(const Value& a, const Value& b) noexcept;

// Whether no two indices of a view are one address. Of checked views, as all that follows; false where it is not plain.
bool is_injective(const Value& value);

// Whether two views share no byte at any one moment; false where it is not plain. Views of two buffers share none.
bool are_disjoint(const Value& a, const Value& b, const Last& last);

}  // namespace fewstep

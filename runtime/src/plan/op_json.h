#pragma once

#include "fewstep/op.h"
#include "fewstep/plan.h"
#include "plan/fields.h"

namespace fewstep {

constexpr std::size_t kMostNode = 1024;  // bytes of a name

// An operation of a plan whose values and weights are read already. What is checked: that it is in the table, the
// number of its operands, that every index is in range, the names and types of its attributes, a map's code.
Op read_op(const Place& place, const Json& json, const Plan& plan);

Launch read_launch(const Place& place, const Json& json, const Plan& plan);

// The index of a weight. Plan::weights are sorted by name.
std::int32_t find_weight(const Place& place, const std::string& name, const Plan& plan);

// The index of a value, or -1 for null where that is allowed.
std::int32_t read_index(const Place& place, const Json& json, const Plan& plan, bool nullable);

}  // namespace fewstep

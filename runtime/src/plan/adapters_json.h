#pragma once

#include "fewstep/plan.h"
#include "plan/fields.h"

namespace fewstep {

// The adapters of a plan whose weights are read already; what fits what, check_adapters sees to.
Adapters read_adapters(const Place& place, const Json& json, const Plan& plan);

// The weights that they name, each once, ascending.
std::vector<std::int32_t> weights_of(const Adapters& adapters);

}  // namespace fewstep

#pragma once

#include <cstdint>

#include "cuda/context.h"
#include "fewstep/plan.h"

namespace fewstep::cuda {

// Which of a plan's launches run on a device: those of its own architecture; else, below 90, of an earlier one of its
// generation; else the plan's PTX. Throws DeviceError: unavailable, naming both.
std::int64_t choose_architecture(const Plan& plan, const Context& context);

}  // namespace fewstep::cuda

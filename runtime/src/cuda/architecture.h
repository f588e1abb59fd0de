#pragma once

#include <cstdint>
#include <string>

#include "cuda/context.h"
#include "fewstep/plan.h"

namespace fewstep::cuda {

// Which of a plan's launches run on a device: those of its own architecture; else, below 90, of an earlier one of its
// generation; else those of the plan's PTX, which the driver compiles.
struct Architecture {
  std::int64_t number = 0;
  bool is_ptx = false;

  bool has(const Launch& launch) const noexcept { return launch.architecture == number && launch.is_ptx == is_ptx; }
  std::string name() const { return (is_ptx ? "PTX of sm_" : "sm_") + std::to_string(number); }
};

// Throws DeviceError: unavailable, naming both sides.
Architecture choose_architecture(const Plan& plan, const Context& context);

}  // namespace fewstep::cuda

#pragma once

#include <string>

#include "cuda/exchange.h"
#include "cuda/runs.h"

namespace fewstep::cuda {

struct Described {
  const Context& context;
  const Addresses& addresses;
  const Exchange& inputs;
  const Exchange& outputs;
  const Stages& stages;
  const Runs& runs;
  const Architecture& architecture;
};

// A device as JSON: what it is, what it chose, what it counts. It calls nothing of the driver.
std::string describe_device(const Described& device);

}  // namespace fewstep::cuda

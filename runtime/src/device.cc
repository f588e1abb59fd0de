#include "fewstep/device.h"

#include <stdexcept>
#include <utility>

#include "fewstep/error.h"

namespace fewstep {

std::unique_ptr<Device> make_device(std::shared_ptr<const Plan> plan, const DeviceOptions& options) {
  const std::string& name = options.name == "auto" ? plan->device : options.name;
  if (name != "cpu" && name != "cuda") throw std::invalid_argument("device must be cpu, cuda or auto, got " + name);
  if (name != plan->device) {
    throw PlanError("the plan was compiled for " + plan->device + ", got device " + name + ": compile it for " + name);
  }
  if (name == "cpu") return make_cpu_device(std::move(plan), options.cpu);
  return make_cuda_device(std::move(plan), options.cuda);
}

}  // namespace fewstep

#include "fewstep/device.h"

#include <stdexcept>
#include <utility>

namespace fewstep {

std::unique_ptr<Device> make_device(std::shared_ptr<const Plan> plan, const DeviceOptions& options) {
  if (options.name == "cpu") return make_cpu_device(std::move(plan), options.cpu);
  throw std::invalid_argument("device must be cpu, got " + options.name);
}

}  // namespace fewstep

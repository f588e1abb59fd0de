#include "open.h"

#include <stdexcept>
#include <utility>

namespace fewstep {

std::unique_ptr<Program> open_program(const std::filesystem::path& path, const DeviceOptions& options) {
  if (options.device != "cpu") throw std::invalid_argument("device must be cpu, got " + options.device);
  auto plan = std::make_shared<const Plan>(open_plan(path));
  auto device = make_cpu_device(plan, {options.threads, options.blas});
  return std::make_unique<Program>(std::move(plan), std::move(device));
}

}  // namespace fewstep

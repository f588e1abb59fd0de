#include "open.h"

#include <utility>

namespace fewstep {

std::unique_ptr<Program> open_program(const std::filesystem::path& path, const DeviceOptions& options) {
  auto plan = std::make_shared<const Plan>(open_plan(path));
  auto device = make_device(plan, options);
  return std::make_unique<Program>(std::move(plan), std::move(device));
}

}  // namespace fewstep

#pragma once

#include <filesystem>
#include <memory>

#include "fewstep/program.h"

namespace fewstep {

// A plan's file as a program on a device. Throws std::invalid_argument, PlanError, DeviceError.
std::unique_ptr<Program> open_program(const std::filesystem::path& path, const DeviceOptions& options);

}  // namespace fewstep

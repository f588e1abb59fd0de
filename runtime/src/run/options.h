#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "open.h"

namespace fewstep {

// The command line of fewstep-run.
struct RunOptions {
  std::filesystem::path plan, output = "out.png";
  std::optional<std::uint64_t> seed;
  std::int64_t n = 1, steps = 0;                            // 0: the plan's default
  std::vector<std::pair<std::string, std::string>> labels;  // table, value
  DeviceOptions device;
  bool help = false, describe = false;
};

extern const char* const kUsage;

RunOptions parse_options(std::span<const char* const> arguments);  // throws std::invalid_argument

}  // namespace fewstep

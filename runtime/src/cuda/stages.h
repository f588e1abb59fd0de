#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cuda/architecture.h"
#include "cuda/launch.h"

namespace fewstep::cuda {

// A plan's stages as launches for one architecture.
class Stages {
 public:
  Stages(const Context& context, const Plan& plan, const Addresses& addresses, const Architecture& architecture);

  bool has_tables() const noexcept { return tables_ != nullptr; }
  void enqueue_tables(Stream& stream);
  // A run of N steps that begin at a row of the schedule.
  void enqueue(Stream& stream, std::int64_t steps, std::int64_t first_row);
  std::int64_t launches(std::int64_t steps) const;  // of a run
  const Modules& modules() const noexcept { return modules_; }

 private:
  struct Part {
    std::string name;
    std::int64_t steps;
    std::vector<PreparedLaunch> launches;
  };

  static std::int64_t times(const Part& part, std::int64_t steps);

  Modules modules_;
  std::vector<Part> parts_;
  Part* tables_ = nullptr;
};

}  // namespace fewstep::cuda

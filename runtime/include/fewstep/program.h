#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "fewstep/device.h"
#include "fewstep/plan.h"

namespace fewstep {

// Names to contiguous bytes in the value's own type and shape.
using Inputs = std::map<std::string, std::span<const std::byte>, std::less<>>;
using Outputs = std::map<std::string, std::span<std::byte>, std::less<>>;

// A plan on a device, ready to run.
//
// 1. Calls from several threads are served one after another.
// 2. The same inputs, steps and device give the same bytes.
class Program {
 public:
  Program(std::shared_ptr<const Plan> plan, std::unique_ptr<Device> device);

  const Plan& plan() const noexcept { return *plan_; }
  std::string describe() const;  // the device's

  // steps: one of the schedule's counts, or 1 for a network. Every input must be there, and the outputs that are
  // wanted, each with its exact size. first: the step it begins with, below steps, and 0 unless the plan begins
  // anywhere. Throws std::invalid_argument, or DeviceError: numerical if the output "flag" is set.
  void run(std::int64_t steps, const Inputs& inputs, const Outputs& outputs, std::int64_t first = 0);

  // Replaces the rows of the schedule: tau (rows), coefficients (rows, 9 or 11), scales (rows, 2).
  void set_schedule(std::span<const float> tau, std::span<const float> coefficients, std::span<const float> scales);

  // Replaces tensors of the plan's adapters, each by its name, with bytes of its type and size: all of them, or none
  // and std::invalid_argument, for NaN and Inf too. Runs before see the old ones, runs after the new; the rest stay.
  void set_tensors(const Inputs& tensors);

 private:
  std::shared_ptr<const Plan> plan_;
  std::unique_ptr<Device> device_;
  std::vector<std::int32_t> flag_;  // of each image, if the plan tells
  mutable std::mutex mutex_;
};

}  // namespace fewstep

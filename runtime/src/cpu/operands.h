#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "cpu/arena.h"
#include "cpu/kernel.h"
#include "fewstep/device.h"
#include "fewstep/plan.h"

namespace fewstep::cpu {

// A plan's values, each with its address.
//
// 1. Weights of type f16 and bf16 are widened once: their values are f32. Other weights stay where the file is mapped,
//    unless the file has them at an address that their type cannot have, or they can be replaced.
class Operands {
 public:
  explicit Operands(std::shared_ptr<const Plan> plan);  // throws DeviceError, PlanError

  Operand operator[](std::int32_t value) const noexcept;               // null for -1
  std::size_t weight_bytes() const noexcept { return weight_bytes_; }  // of the copies

  // Other bytes for one of Plan::replaceable, as many as it has.
  void replace(const Replacement& replacement) noexcept;

 private:
  struct Place {
    const std::byte* data;
    Dtype dtype;
  };
  Place place_of(std::int32_t index);

  std::shared_ptr<const Plan> plan_;
  Arena arena_;
  std::vector<std::unique_ptr<std::byte[]>> copies_;
  std::map<std::int32_t, std::byte*> replaceable_;  // weight -> its copy
  std::size_t weight_bytes_ = 0;
  std::vector<Value> values_;
  std::vector<std::byte*> bases_;
};

}  // namespace fewstep::cpu

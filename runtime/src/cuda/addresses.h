#pragma once

#include <cstdint>
#include <vector>

#include "cuda/memory.h"
#include "cuda/stream.h"
#include "fewstep/plan.h"

namespace fewstep::cuda {

// Which step of a run it is: `row` of the schedule, i of the loop.
struct Moment {
  std::int64_t row = 0, step = 0;
};

// A plan's memory on the device: the arena, and the weights that its values lie in; and where each value begins.
class Addresses {
 public:
  Addresses(Stream& stream, const Plan& plan);  // copies the weights

  Address of(std::int32_t value, Moment moment) const noexcept {
    const Place& place = places_[static_cast<std::size_t>(value)];
    return place.base + static_cast<Address>(moment.row * place.row + moment.step * place.step);
  }
  // Of a weight of Plan::replaceable; null where no value lies in it.
  Address of_weight(std::int32_t weight) const noexcept;
  bool moves(std::int32_t value) const noexcept {
    const Place& place = places_[static_cast<std::size_t>(value)];
    return place.row != 0 || place.step != 0;
  }
  std::size_t arena_bytes() const noexcept { return arena_.bytes(); }
  std::size_t weight_bytes() const noexcept { return weights_.bytes(); }

 private:
  struct Place {
    Address base = 0;
    std::int64_t row = 0, step = 0;  // bytes
  };

  std::vector<std::size_t> offsets_;  // of each weight; unused where no value lies in it
  DeviceMemory weights_, arena_;
  std::vector<Place> places_;
};

}  // namespace fewstep::cuda

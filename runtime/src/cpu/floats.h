#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>

#include "fewstep/error.h"

namespace fewstep::cpu {

// A block of floats that begins at a cache line, NaN where nothing was written, or zero.
class Floats {
 public:
  Floats() = default;
  explicit Floats(std::int64_t count, float value = std::numeric_limits<float>::quiet_NaN()) {
    bytes_ = (static_cast<std::size_t>(count) * sizeof(float) + 64) / 64 * 64;
    data_.reset(static_cast<float*>(std::aligned_alloc(64, bytes_)));
    if (data_ == nullptr) {
      throw DeviceError(Fault::out_of_memory, "scratch: " + std::to_string(bytes_) + " bytes could not be allocated");
    }
    for (std::int64_t i = 0; i < count; ++i) data_.get()[i] = value;
  }
  float* get() const noexcept { return data_.get(); }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  struct Free {
    void operator()(float* block) const noexcept { std::free(block); }
  };
  std::unique_ptr<float, Free> data_;
  std::size_t bytes_ = 0;
};

}  // namespace fewstep::cpu

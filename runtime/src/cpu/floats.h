#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>

namespace fewstep::cpu {

// A block of floats that begins at a cache line, NaN where nothing was written, or zero.
class Floats {
 public:
  Floats() = default;
  explicit Floats(std::int64_t count, float value = std::numeric_limits<float>::quiet_NaN());  // throws DeviceError

  float* get() const noexcept { return data_.get(); }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  struct Free {
    void operator()(float* block) const noexcept { std::free(block); }
  };
  std::size_t bytes_ = 0;
  std::unique_ptr<float, Free> data_;
};

}  // namespace fewstep::cpu

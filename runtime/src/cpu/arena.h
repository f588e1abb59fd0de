#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace fewstep::cpu {

// The block that a plan's buffers lie in, aligned to 256 and filled with NaN of every float type, so that what nobody
// wrote is seen in the result.
class Arena {
 public:
  explicit Arena(std::int64_t bytes);  // throws DeviceError: out_of_memory

  std::byte* data() const noexcept { return data_.get(); }

 private:
  struct Free {
    void operator()(std::byte* data) const noexcept;
  };
  std::unique_ptr<std::byte, Free> data_;
};

}  // namespace fewstep::cpu

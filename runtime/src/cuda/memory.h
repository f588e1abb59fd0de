#pragma once

#include <cstddef>
#include <span>

#include "cuda/stream.h"

namespace fewstep::cuda {

// A block of the device's memory, aligned to 256, whose start does not move. what: for the error that says how much
// was asked for.
//
// 1. Where the device has pools it is from the device's own, and goes back when the stream has come to that: no other
//    stream waits for it. Else it goes back at once, and the device waits for all of them.
class DeviceMemory {
 public:
  DeviceMemory(const Stream& stream, std::size_t bytes, const char* what);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  Address address() const noexcept { return address_; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  const Stream& stream_;
  std::size_t bytes_;
  Address address_ = 0;
};

// A block of the host's memory that the device copies from and to on its own. It begins as zeros.
class PinnedMemory {
 public:
  PinnedMemory(const Context& context, std::size_t bytes, const char* what);
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  std::byte* data() const noexcept { return data_; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  const Context& context_;
  std::size_t bytes_;
  std::byte* data_ = nullptr;
};

}  // namespace fewstep::cuda

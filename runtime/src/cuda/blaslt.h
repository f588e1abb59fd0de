#pragma once

#include <string>
#include <vector>

#include "cuda/blaslt_abi.h"
#include "cuda/stream.h"

namespace fewstep::cuda {

// The names of the libraries that run on a driver, 13000 for CUDA 13.0, in the order in which they are tried.
std::vector<std::string> blaslt_names(int driver);

// cuBLASLt, opened by its name where a plan asks for it, and its handle.
class Blaslt {
 public:
  // path: of the library, or empty for one that runs on the driver. Throws DeviceError: unavailable.
  Blaslt(Stream& stream, const std::string& path);
  ~Blaslt();
  Blaslt(const Blaslt&) = delete;
  Blaslt& operator=(const Blaslt&) = delete;

  const BlasltFunctions* operator->() const noexcept { return &functions_; }
  BlasltObject* handle() const noexcept { return handle_; }

  // While a device is made: what was returned as a DeviceError, fatal if the context turns out to be lost.
  void check(BlasltStatus status, const std::string& call);
  // Out of memory, or unavailable: the library does not say whether the context is lost, the stream will.
  [[noreturn]] void fail(BlasltStatus status, const std::string& call) const;

 private:
  Stream& stream_;
  BlasltFunctions functions_{};
  BlasltObject* handle_ = nullptr;
};

}  // namespace fewstep::cuda

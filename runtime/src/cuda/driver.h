#pragma once

#include <string>

#include "cuda/functions.h"

namespace fewstep::cuda {

// NVIDIA's driver, opened by its name when a device is made: nothing of it is needed before.
//
// 1. check turns what a call returned into a DeviceError of its class.
// 2. A fatal one is latched: refuse_if_dead throws the same for ever, and nothing but the context is given back.
class Driver {
 public:
  explicit Driver(const std::string& path);  // throws DeviceError: unavailable
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  const Functions* operator->() const noexcept { return &functions_; }
  int version() const noexcept { return version_; }  // 13000 for CUDA 13.0
  void check(Result result, const char* call) {
    if (result != 0) fail(result, call);
  }
  [[noreturn]] void fail(Result result, const std::string& call);
  bool dead() const noexcept { return !death_.empty(); }
  void refuse_if_dead() const;

 private:
  void* library_ = nullptr;
  Functions functions_{};
  int version_ = 0;
  std::string death_;
};

}  // namespace fewstep::cuda

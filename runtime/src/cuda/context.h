#pragma once

#include <string>

#include "cuda/driver.h"
#include "cuda/fault.h"

namespace fewstep::cuda {

// A device and its primary context, shared with whatever else uses the device in this process.
//
// 1. Calls need a Current on their thread; it gives the caller's context back when it goes.
// 2. release runs what gives a handle back, with the context current if that is possible; once the context is lost, it
//    runs nothing.
class Context {
 public:
  Context(Driver& driver, int index);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  class Current {
   public:
    explicit Current(const Context& context);
    ~Current();
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

   private:
    const Driver& driver_;
  };

  Driver& driver() const noexcept { return driver_; }
  int index() const noexcept { return index_; }
  const std::string& name() const noexcept { return name_; }
  int architecture() const noexcept { return architecture_; }  // 90 for sm_90
  int shared() const noexcept { return shared_; }              // bytes that one block may use
  bool has_pools() const noexcept { return has_pools_; }       // memory can be had and given back in a stream's order

  template <typename F>
  void release(F&& give_back) const noexcept {
    ContextHandle popped = nullptr;
    if (driver_.dead()) return;
    const Result pushed = driver_->push_current(handle_);
    if (pushed != 0 && fault_of(pushed) == Fault::fatal) return;
    give_back();
    if (pushed == 0) driver_->pop_current(&popped);
  }

 private:
  int attribute(int which) const;

  Driver& driver_;
  int index_ = 0;
  DeviceHandle device_ = 0;
  std::string name_;
  int architecture_ = 0, shared_ = 0;
  bool has_pools_ = false;
  ContextHandle handle_ = nullptr;
};

}  // namespace fewstep::cuda

#pragma once

#include "cuda/context.h"

namespace fewstep::cuda {

// The one queue of a device's work.
class Stream {
 public:
  explicit Stream(const Context& context);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  const Context& context() const noexcept { return context_; }
  Driver& driver() const noexcept { return context_.driver(); }
  StreamHandle handle() const noexcept { return handle_; }
  void synchronize() { driver().check(driver()->stream_synchronize(handle_), "cuStreamSynchronize"); }
  void settle();  // after an error: waits until nothing runs; throws only if the error turns out to be fatal

 private:
  const Context& context_;
  StreamHandle handle_ = nullptr;
};

}  // namespace fewstep::cuda

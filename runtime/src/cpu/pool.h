#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "cpu/barrier.h"

namespace fewstep::cpu {

// Threads that run one piece of work at once, the caller among them.
//
// 1. One run is one wake-up; inside it threads wait for each other by meet.
// 2. run is called by one thread at a time. It allocates nothing.
// 3. Threads do not outlive a fork: run then throws DeviceError, unavailable.
class Pool {
 public:
  explicit Pool(int threads);  // at least 1. Throws DeviceError: unavailable
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const noexcept { return threads_; }

  // Calls work(t), which throws nothing, for each t below threads(); returns when all calls have.
  template <typename Work>
  void run(const Work& work) {
    start([](const void* context, int thread) { (*static_cast<const Work*>(context))(thread); }, &work);
  }
  void meet() noexcept { barrier_.meet(); }  // by every thread within run

 private:
  using Call = void (*)(const void*, int);
  void start(Call call, const void* context);
  void serve(int thread) noexcept;
  void stop() noexcept;

  const int threads_;
  const pid_t process_;
  const std::chrono::nanoseconds patience_;
  Barrier barrier_;
  std::atomic<std::uint32_t> round_{0};
  Call call_ = nullptr;  // null: stop
  const void* context_ = nullptr;
  std::vector<std::thread> workers_;
};

}  // namespace fewstep::cpu

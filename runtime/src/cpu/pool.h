#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace fewstep::cpu {

// Threads that share a run: rounds, one after the other, each in parts.
//
// 1. Every part of a round is done once, by one thread. A round begins when all parts of the one before are done, and
// sees what they wrote.
// 2. Thread t does part t, whose data its cache holds, and then parts that nobody has begun: a thread that is still
// waking, or has lost its core, holds nobody up.
// 3. run is called by one thread at a time, which takes part. It allocates nothing.
// 4. Threads do not outlive a fork: run then throws DeviceError, unavailable.
class Pool {
 public:
  explicit Pool(int threads);  // at least 1. Throws DeviceError: unavailable
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const noexcept { return threads_; }

  // Calls work.run(round, part), which throws nothing, for each part below work.parts(round), 1 to threads(), of each
  // round below `rounds`.
  template <typename Work>
  void run(std::int64_t rounds, const Work& work) {
    run(Task{&work, rounds, parts_of<Work>, run_part<Work>});
  }

 private:
  struct Task {
    const void* self = nullptr;
    std::int64_t rounds = 0;
    int (*parts)(const void* self, std::int64_t round) = nullptr;
    void (*work)(const void* self, std::int64_t round, int part) = nullptr;
  };
  template <typename Work>
  static int parts_of(const void* self, std::int64_t round) {
    return static_cast<const Work*>(self)->parts(round);
  }
  template <typename Work>
  static void run_part(const void* self, std::int64_t round, int part) {
    static_cast<const Work*>(self)->run(round, part);
  }
  struct alignas(64) Part {
    std::atomic<std::uint64_t> begun{0};  // in all rounds before this one
  };
  void run(const Task& task);
  void alone(const Task& task) const;
  void open(std::int64_t round) noexcept;
  bool help(std::uint64_t open, int thread) noexcept;
  void serve(int thread) noexcept;
  void stop() noexcept;

  const int threads_;
  const pid_t process_;
  const std::chrono::nanoseconds patience_;
  Task task_;
  std::uint64_t first_ = 0;  // round of the run, counted from the first run on
  std::vector<Part> parts_;
  // The round that is open, counted like first_, and its parts; 0 parts: none is.
  alignas(64) std::atomic<std::uint64_t> open_{0};
  std::atomic<std::uint32_t> bell_{0};  // changes after open_
  std::atomic<bool> stopped_{false};
  alignas(64) std::atomic<int> left_{0};  // parts of the open round that are not done
  std::vector<std::thread> workers_;
};

}  // namespace fewstep::cpu

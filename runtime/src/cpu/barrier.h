#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace fewstep::cpu {

// Returns once `word` is no longer `old`: spins for `patience`, then sleeps until it is notified.
void await_change(const std::atomic<std::uint32_t>& word, std::uint32_t old,
                  std::chrono::nanoseconds patience) noexcept;

// Where `threads` threads wait for each other. What any of them wrote before, all of them see after.
class Barrier {
 public:
  Barrier(int threads, std::chrono::nanoseconds patience) noexcept : threads_(threads), patience_(patience) {}
  void meet() noexcept;

 private:
  const int threads_;
  const std::chrono::nanoseconds patience_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<std::uint32_t> round_{0};
};

}  // namespace fewstep::cpu

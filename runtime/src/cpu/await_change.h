#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace fewstep::cpu {

// Returns once `word` is no longer `old`: spins for `patience`, then sleeps until it is notified.
void await_change(const std::atomic<std::uint32_t>& word, std::uint32_t old,
                  std::chrono::nanoseconds patience) noexcept;

}  // namespace fewstep::cpu

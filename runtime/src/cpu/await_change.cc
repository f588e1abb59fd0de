#include "cpu/await_change.h"

#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fewstep::cpu {
namespace {

// Some 10 us. Whoever is waited for may be waiting for this core, so after them the core is offered.
constexpr int kPauses = 512;

void pause() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

}  // namespace

void await_change(const std::atomic<std::uint32_t>& word, std::uint32_t old,
                  std::chrono::nanoseconds patience) noexcept {
  using Clock = std::chrono::steady_clock;
  if (patience.count() > 0) {
    const Clock::time_point end = Clock::now() + patience;
    for (int i = 0; i < kPauses; ++i) {
      if (word.load(std::memory_order_acquire) != old) return;
      pause();
    }
    do {
      if (word.load(std::memory_order_acquire) != old) return;
      std::this_thread::yield();
    } while (Clock::now() < end);
  }
  word.wait(old, std::memory_order_acquire);
}

}  // namespace fewstep::cpu

#include "cpu/pool.h"

#include <unistd.h>

#include <stdexcept>
#include <string>
#include <system_error>

#include "fewstep/error.h"

namespace fewstep::cpu {
namespace {

using namespace std::chrono_literals;

int checked(int threads) {
  if (threads >= 1 && threads <= 1024) return threads;
  throw std::invalid_argument("threads must be 1 to 1024, got " + std::to_string(threads));
}

// Between two kernels a wait is shorter than waking a sleeper, about 50 us, and more where others want the core.
// Measured: on a busy machine 200 us give shorter runs than 40 or 5. Where threads share cores, whoever spins keeps the
// one it waits for from running.
std::chrono::nanoseconds patience_of(int threads) {
  return static_cast<unsigned>(threads) <= std::thread::hardware_concurrency() ? 200us : 0us;
}

}  // namespace

Pool::Pool(int threads)
    : threads_(checked(threads)), process_(getpid()), patience_(patience_of(threads)), barrier_(threads, patience_) {
  try {
    for (int thread = 1; thread < threads_; ++thread) workers_.emplace_back([this, thread] { serve(thread); });
  } catch (const std::system_error& error) {
    const std::size_t started = workers_.size() + 1;
    stop();
    throw DeviceError(Fault::unavailable, "asked for " + std::to_string(threads_) + " threads, got " +
                                              std::to_string(started) + ": " + error.what());
  }
}

Pool::~Pool() { stop(); }

void Pool::stop() noexcept {
  if (getpid() != process_) {
    for (std::thread& worker : workers_) worker.detach();
    return;
  }
  call_ = nullptr;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::start(Call call, const void* context) {
  if (threads_ > 1) {
    if (getpid() != process_) {
      throw DeviceError(Fault::unavailable, "the program was opened before this process was forked: open it again");
    }
    call_ = call;
    context_ = context;
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }
  call(context, 0);
  meet();
}

void Pool::serve(int thread) noexcept {
  for (std::uint32_t round = 0;; ++round) {
    await_change(round_, round, patience_);
    if (call_ == nullptr) return;
    call_(context_, thread);
    meet();
  }
}

}  // namespace fewstep::cpu

#include "cpu/pool.h"

#include <unistd.h>

#include <stdexcept>
#include <string>
#include <system_error>

#include "cpu/await_change.h"
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

constexpr int kPartBits = 16;
constexpr std::uint64_t kParts = (1u << kPartBits) - 1;

}  // namespace

Pool::Pool(int threads)
    : threads_(checked(threads)),
      process_(getpid()),
      patience_(patience_of(threads)),
      parts_(static_cast<std::size_t>(threads)) {
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
  stopped_ = true;
  bell_.fetch_add(1);
  bell_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::run(const Task& task) {
  if (threads_ == 1) return alone(task);
  if (getpid() != process_) {
    throw DeviceError(Fault::unavailable, "the program was opened before this process was forked: open it again");
  }
  if (task.rounds == 0) return;
  first_ += static_cast<std::uint64_t>(task_.rounds);
  task_ = task;
  open(0);
  for (;;) {
    const std::uint32_t bell = bell_.load(std::memory_order_acquire);
    const std::uint64_t now = open_.load(std::memory_order_acquire);
    if ((now & kParts) == 0) return;
    if (!help(now, 0)) await_change(bell_, bell, patience_);
  }
}

void Pool::alone(const Task& task) const {
  for (std::int64_t round = 0; round < task.rounds; ++round) {
    for (int part = 0; part < task.parts(task.self, round); ++part) task.work(task.self, round, part);
  }
}

// By the caller of run, or by whoever ended the round before: nobody else writes here meanwhile.
void Pool::open(std::int64_t round) noexcept {
  const int parts = round < task_.rounds ? task_.parts(task_.self, round) : 0;
  left_.store(parts, std::memory_order_relaxed);
  open_.store((first_ + static_cast<std::uint64_t>(round)) << kPartBits | static_cast<std::uint64_t>(parts),
              std::memory_order_release);
  bell_.store(bell_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  bell_.notify_all();
}

// One part, if one of the round is free. Where `open` is of a round long ended, all its parts were begun.
bool Pool::help(std::uint64_t open, int thread) noexcept {
  const std::uint64_t round = open >> kPartBits;
  const int parts = static_cast<int>(open & kParts);
  for (int i = 0; i < parts; ++i) {
    const int part = (thread + i) % parts;
    std::atomic<std::uint64_t>& begun = parts_[static_cast<std::size_t>(part)].begun;
    std::uint64_t before = begun.load(std::memory_order_relaxed);
    if (before > round || !begun.compare_exchange_strong(before, round + 1, std::memory_order_acq_rel)) continue;
    const auto own = static_cast<std::int64_t>(round - first_);
    task_.work(task_.self, own, part);
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) this->open(own + 1);
    return true;
  }
  return false;
}

void Pool::serve(int thread) noexcept {
  while (!stopped_) {
    const std::uint32_t bell = bell_.load(std::memory_order_acquire);
    if (!help(open_.load(std::memory_order_acquire), thread) && !stopped_) await_change(bell_, bell, patience_);
  }
}

}  // namespace fewstep::cpu

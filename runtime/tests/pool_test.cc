#include "cpu/pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "fewstep/error.h"

namespace {

using fewstep::cpu::Pool;

void test_every_thread_works_once_a_run() {
  for (int threads = 1; threads <= 5; ++threads) {
    Pool pool(threads);
    CHECK(pool.threads() == threads);
    std::vector<int> calls(static_cast<std::size_t>(threads));
    for (int run = 1; run <= 300; ++run) {
      pool.run([&](int thread) { ++calls[static_cast<std::size_t>(thread)]; });
      CHECK(std::count(calls.begin(), calls.end(), run) == threads);
    }
  }
}

// Each thread reads what its neighbour wrote in the round before: a barrier that lets one through early is seen.
void test_meetings_order_memory() {
  for (int threads = 2; threads <= 4; ++threads) {
    Pool pool(threads);
    const auto n = static_cast<std::size_t>(threads);
    std::vector<int> now(n), before(n), wrong(n);
    for (int run = 0; run < 20; ++run) {
      std::fill(now.begin(), now.end(), 0);
      pool.run([&](int thread) {
        const auto t = static_cast<std::size_t>(thread);
        for (int round = 1; round <= 100; ++round) {
          before[t] = now[(t + 1) % n];
          pool.meet();
          wrong[t] += before[t] != round - 1;
          now[t] = round;
          pool.meet();
        }
      });
      CHECK(std::count(now.begin(), now.end(), 100) == threads);
    }
    CHECK(std::count(wrong.begin(), wrong.end(), 0) == threads);
  }
}

void test_sleepers_wake() {
  Pool pool(3);
  for (int run = 0; run < 5; ++run) {
    std::vector<int> calls(3);
    usleep(2000);  // longer than any thread spins
    pool.run([&](int thread) {
      if (thread == 1) usleep(2000);
      pool.meet();
      calls[static_cast<std::size_t>(thread)] = 1;
    });
    CHECK(std::count(calls.begin(), calls.end(), 1) == 3);
  }
}

void test_a_count_of_threads_that_is_none_is_refused() {
  for (const int threads : {0, -1, 1025}) {
    bool refused = false;
    try {
      Pool pool(threads);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CHECK(refused);
  }
}

void test_a_fork_is_refused_and_ends() {
  Pool pool(2);
  const pid_t child = fork();
  if (child == 0) {
    bool refused = false;
    try {
      pool.run([](int) {});
    } catch (const fewstep::DeviceError& error) {
      refused = error.fault() == fewstep::Fault::unavailable;
    }
    pool.~Pool();
    _exit(refused ? 0 : 1);
  }
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  int calls = 0;
  pool.run([&](int thread) {
    if (thread == 0) ++calls;
  });
  CHECK(calls == 1);
}

}  // namespace

int main() {
  test_every_thread_works_once_a_run();
  test_meetings_order_memory();
  test_sleepers_wake();
  test_a_count_of_threads_that_is_none_is_refused();
  test_a_fork_is_refused_and_ends();
}

#include "cpu/pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.h"
#include "fewstep/error.h"

namespace {

using fewstep::cpu::Pool;

// Calls f(round, part).
template <typename F>
struct Rounds {
  int each;  // parts of every round
  F f;
  int parts(std::int64_t) const { return each; }
  void run(std::int64_t round, int part) const { f(static_cast<int>(round), part); }
};
template <typename F>
void run(Pool& pool, int rounds, int parts, F f) {
  pool.run(rounds, Rounds<F>{parts, f});
}

void test_every_part_is_done_once() {
  for (int threads = 1; threads <= 5; ++threads) {
    for (int parts = 1; parts <= threads; ++parts) {
      Pool pool(threads);
      CHECK(pool.threads() == threads);
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(parts));
      for (int times = 1; times <= 100; ++times) {
        run(pool, 3, parts, [&](int, int part) { ++calls[static_cast<std::size_t>(part)]; });
        for (const auto& count : calls) CHECK(count == 3 * times);
      }
    }
  }
}

void test_a_run_without_rounds_ends() {
  Pool pool(2);
  run(pool, 0, 2, [](int, int) { CHECK(false); });
}

// Each part reads what its neighbour wrote in the round before: a round that begins early is seen. The number of parts
// differs from round to round.
void test_rounds_order_memory() {
  struct Work {
    int threads;
    std::vector<int>&now, &before, &wrong;
    int parts(std::int64_t round) const { return round % 6 == 4 ? 1 : threads; }
    void run(std::int64_t round, int part) const {
      const auto p = static_cast<std::size_t>(part), n = static_cast<std::size_t>(threads);
      if (parts(round) == 1) {
        for (std::size_t i = 0; i < n; ++i) wrong[i] += now[i] != static_cast<int>(round);
        for (int& value : now) value = static_cast<int>(round) + 1;
      } else if (round % 2 == 0) {
        before[p] = now[(p + 1) % n];
        wrong[p] += before[p] != static_cast<int>(round);
      } else {
        now[p] = static_cast<int>(round) + 1;
      }
    }
  };
  for (int threads = 2; threads <= 4; ++threads) {
    Pool pool(threads);
    const auto n = static_cast<std::size_t>(threads);
    std::vector<int> now(n), before(n), wrong(n);
    for (int times = 0; times < 50; ++times) {
      std::fill(now.begin(), now.end(), 0);
      pool.run(201, Work{threads, now, before, wrong});
    }
    CHECK(std::count(wrong.begin(), wrong.end(), 0) == threads);
  }
}

// While a worker wakes up the caller does its part.
void test_whoever_is_idle_takes_parts() {
  Pool pool(2);
  const std::thread::id caller = std::this_thread::get_id();
  int taken = 0;
  for (int times = 0; times < 100; ++times) {
    usleep(1000);
    run(pool, 1, 2, [&](int, int part) {
      if (part == 1 && std::this_thread::get_id() == caller) ++taken;
    });
  }
  CHECK(taken > 0);
}

// And a worker that is awake takes part: two parts that wait for each other need two threads.
void test_threads_work_at_once() {
  Pool pool(2);
  std::atomic<int> here{0};
  run(pool, 1, 2, [&](int, int) {
    ++here;
    while (here < 2) std::this_thread::yield();
  });
  CHECK(here == 2);
}

void test_sleepers_wake() {
  Pool pool(3);
  for (int times = 0; times < 5; ++times) {
    std::vector<int> calls(3);
    usleep(2000);  // longer than any thread spins
    run(pool, 2, 3, [&](int round, int part) {
      if (round == 0 && part == 1) usleep(2000);
      if (round == 1) calls[static_cast<std::size_t>(part)] = 1;
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
      run(pool, 1, 2, [](int, int) {});
    } catch (const fewstep::DeviceError& error) {
      refused = error.fault() == fewstep::Fault::unavailable;
    }
    pool.~Pool();
    _exit(refused ? 0 : 1);
  }
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  std::atomic<int> calls{0};
  run(pool, 1, 2, [&](int, int) { ++calls; });
  CHECK(calls == 2);
}

}  // namespace

int main() {
  test_every_part_is_done_once();
  test_a_run_without_rounds_ends();
  test_rounds_order_memory();
  test_whoever_is_idle_takes_parts();
  test_threads_work_at_once();
  test_sleepers_wake();
  test_a_count_of_threads_that_is_none_is_refused();
  test_a_fork_is_refused_and_ends();
}

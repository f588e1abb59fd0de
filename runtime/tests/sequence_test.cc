#include "cpu/sequence.h"

#include <atomic>
#include <memory>
#include <vector>

#include "check.h"
#include "cpu/pool.h"

namespace {

using fewstep::cpu::Access;
using fewstep::cpu::Kernel;
using fewstep::cpu::Moment;
using fewstep::cpu::Pool;
using fewstep::cpu::Sequence;

constexpr std::size_t kSize = 64;

// y[i] = x[kSize - 1 - i] + row + step: an element comes from one that, with two shares, the other one wrote.
class Reverse : public Kernel {
 public:
  Reverse(const float* x, float* y, bool alone) : x_(x), y_(y), alone_(alone) {}
  bool alone() const noexcept override { return alone_; }
  void run(Moment moment, int phase, int thread, int threads) noexcept override {
    CHECK(phase == 0 && (!alone_ || (thread == 0 && threads == 1)));
    const auto t = static_cast<std::size_t>(thread), n = static_cast<std::size_t>(threads);
    for (std::size_t i = kSize * t / n; i < kSize * (t + 1) / n; ++i) {
      y_[i] = x_[kSize - 1 - i] + static_cast<float>(moment.row + moment.step);
    }
  }

 private:
  const float* x_;
  float* y_;
  const bool alone_;
};

// Counts the shares that have ended when one begins.
class Phased : public Kernel {
 public:
  int phases() const noexcept override { return 3; }
  void run(Moment, int phase, int, int threads) noexcept override {
    if (ended_.load() < phase * threads) early_ = true;
    ++ended_;
  }
  bool early() const { return early_; }
  int ended() const { return ended_; }

 private:
  std::atomic<int> ended_{0};
  std::atomic<bool> early_{false};
};

std::vector<Access> touches(int read, int written) {
  return {{read * 64, read * 64 + 64, false}, {written * 64, written * 64 + 64, true}};
}

std::unique_ptr<Kernel> idle(bool alone = false) {
  static float nothing[kSize];
  return std::make_unique<Reverse>(nothing, nothing, alone);
}

void test_a_round_begins_where_it_must_and_nowhere_else() {
  Sequence sequence(2);
  auto begins = [&, before = std::int64_t{1}](std::vector<Access> accesses) mutable {
    sequence.append(idle(), std::move(accesses));
    const bool begun = sequence.rounds() > before;
    before = sequence.rounds();
    return begun;
  };
  CHECK(!begins(touches(0, 1)));
  CHECK(!begins(touches(0, 2)));       // both read 0
  CHECK(begins(touches(1, 3)));        // reads what was written
  CHECK(!begins(touches(2, 4)));       // 2 was written in the round before
  CHECK(begins(touches(5, 2)));        // writes what the one before reads
  CHECK(begins(touches(6, 2)));        // writes what it wrote
  CHECK(begins({{191, 200, false}}));  // overlaps its last byte
  CHECK(!begins({{200, 256, true}}));  // begins where the one before ends
}

void test_kernels_of_one_share_need_no_rounds_between_them() {
  Sequence sequence(2);
  sequence.append(idle(true), touches(0, 1));
  sequence.append(idle(true), touches(1, 2));
  CHECK(sequence.rounds() == 1 && sequence.parts(0) == 1);
  sequence.append(idle(false), touches(2, 3));
  CHECK(sequence.rounds() == 2 && sequence.parts(1) == 2);
  sequence.append(idle(true), touches(3, 4));
  CHECK(sequence.rounds() == 3);
  sequence.append(idle(false), touches(5, 6));  // touches nothing of theirs
  CHECK(sequence.rounds() == 3 && sequence.parts(2) == 2);
}

struct Whole {
  const Sequence& sequence;
  Moment moment;
  int parts(std::int64_t round) const { return sequence.parts(round); }
  void run(std::int64_t round, int part) const { sequence.run(moment, round, part); }
};

void run(const Sequence& sequence, Moment moment, Pool& pool) { pool.run(sequence.rounds(), Whole{sequence, moment}); }

void test_phases_are_apart() {
  for (int threads = 1; threads <= 3; ++threads) {
    Pool pool(threads);
    Sequence sequence(threads);
    auto kernel = std::make_unique<Phased>();
    const Phased& phased = *kernel;
    sequence.append(std::move(kernel), touches(0, 1));
    CHECK(sequence.rounds() == 3);
    run(sequence, {}, pool);
    CHECK(phased.ended() == 3 * threads && !phased.early());
  }
}

void test_results_do_not_depend_on_threads() {
  for (int threads = 1; threads <= 4; ++threads) {
    Pool pool(threads);
    std::vector<std::vector<float>> values(9, std::vector<float>(kSize));
    for (std::size_t i = 0; i < kSize; ++i) values[0][i] = static_cast<float>(i);
    Sequence sequence(threads);
    for (int i = 0; i < 8; ++i) {
      const auto k = static_cast<std::size_t>(i);
      sequence.append(std::make_unique<Reverse>(values[k].data(), values[k + 1].data(), i % 3 == 2), touches(i, i + 1));
    }
    for (int step = 0; step < 100; ++step) {
      run(sequence, {2, step}, pool);
      for (std::size_t i = 0; i < kSize; ++i)
        CHECK(values[8][i] == static_cast<float>(i) + 8 * (2 + static_cast<float>(step)));
    }
  }
}

void test_accesses_are_the_buffers_of_an_op() {
  fewstep::Plan plan;
  plan.buffers = {{0, 64}, {64, 128}};
  plan.values.resize(3);
  plan.values[0].buffer = 0;
  plan.values[1].weight = 0;
  plan.values[2].buffer = 1;
  fewstep::Op op;
  op.inputs = {0, -1, 1};
  op.outputs = {2};
  const std::vector<Access> accesses = fewstep::cpu::accesses_of(op, plan);
  CHECK(accesses.size() == 2);
  CHECK(accesses[0].begin == 0 && accesses[0].end == 64 && !accesses[0].written);
  CHECK(accesses[1].begin == 64 && accesses[1].end == 192 && accesses[1].written);
}

}  // namespace

int main() {
  test_a_round_begins_where_it_must_and_nowhere_else();
  test_kernels_of_one_share_need_no_rounds_between_them();
  test_phases_are_apart();
  test_results_do_not_depend_on_threads();
  test_accesses_are_the_buffers_of_an_op();
}

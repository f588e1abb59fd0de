#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cpu/kernel.h"
#include "fewstep/plan.h"

namespace fewstep::cpu {

// Bytes of the arena that an operation touches.
struct Access {
  std::int64_t begin = 0, end = 0;
  bool written = false;
};
std::vector<Access> accesses_of(const Op& op, const Plan& plan);

// The kernels of a stage as rounds of a pool: a new one begins only at a phase, and at a kernel that touches what
// another one of its round writes, or writes what another one touches.
class Sequence {
 public:
  explicit Sequence(int threads) : threads_(threads) {}
  void append(std::unique_ptr<Kernel> kernel, std::vector<Access> accesses);

  std::int64_t rounds() const noexcept { return static_cast<std::int64_t>(rounds_.size()); }
  int parts(std::int64_t round) const noexcept { return at(round).alone ? 1 : threads_; }
  void run(Moment moment, std::int64_t round, int part) const noexcept;

  std::size_t size() const noexcept { return kernels_.size(); }
  Kernel& kernel(std::size_t i) const noexcept { return *kernels_[i]; }

 private:
  struct Step {
    Kernel* kernel;
    int phase;
    bool alone;
  };
  struct Round {
    std::size_t first, end;  // of steps_
    bool alone;              // all of them are
  };
  struct Pending {
    Access access;
    bool alone;
  };
  const Round& at(std::int64_t round) const noexcept { return rounds_[static_cast<std::size_t>(round)]; }
  bool conflicts(const std::vector<Access>& accesses, bool alone) const noexcept;
  void add(const Step& step, bool new_round);

  const int threads_;
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::vector<Step> steps_;
  std::vector<Round> rounds_;
  std::vector<Pending> pending_;  // of the last round
};

}  // namespace fewstep::cpu

#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/operands.h"
#include "cpu/pool.h"
#include "cpu/sequence.h"
#include "fewstep/device.h"
#include "fewstep/plan.h"

namespace fewstep::cpu {

// What a CPU has to make kernels with.
struct Means {
  Isa isa = Isa::portable;
  int threads = 1;
};

// A plan's stages as kernels, and the order in which a run of N steps goes through them.
class Stages {
 public:
  Stages(const Plan& plan, const Operands& operands, const Means& means);  // throws PlanError, DeviceError

  void prepare(Pool& pool) const;                                      // the stage "tables", if there is one
  void run(std::int64_t steps, std::int64_t first, Pool& pool) const;  // as a Device does
  // Weights of Plan::replaceable get other values, and the kernels that read them pack them anew.
  void replace(std::span<const Replacement> weights, Operands& operands, Pool& pool) const;
  std::string take_fault() const;  // of all kernels: empty, or the op's name and what was wrong

  std::size_t scratch() const noexcept;  // bytes
  std::string describe() const;          // JSON: a list of ops

 private:
  struct Round {
    const Sequence* sequence;
    Moment moment;
    std::int64_t round;  // of the sequence
  };
  struct Rounds {
    std::vector<Round> all;
    void add(const Sequence& sequence, Moment moment);
    const Round& at(std::int64_t round) const noexcept { return all[static_cast<std::size_t>(round)]; }
    int parts(std::int64_t round) const noexcept { return at(round).sequence->parts(at(round).round); }
    void run(std::int64_t round, int part) const noexcept;
  };
  Rounds rounds_of(const Plan& plan, std::int64_t steps, std::int64_t row, std::int64_t first) const;
  static void run(const Rounds& rounds, Pool& pool);

  std::deque<Problem> problems_;    // in the order of the plan's ops
  std::deque<Sequence> sequences_;  // one for each stage
  std::vector<std::string> names_;  // of stages
  Rounds tables_;
  std::map<std::pair<std::int64_t, std::int64_t>, Rounds> runs_;  // steps, first -> what runs
  std::multimap<std::int32_t, Kernel*> readers_;                  // of each weight that can be replaced
};

}  // namespace fewstep::cpu

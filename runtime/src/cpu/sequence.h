#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cpu/kernel.h"
#include "cpu/pool.h"
#include "fewstep/plan.h"

namespace fewstep::cpu {

// Bytes of the arena that an operation touches.
struct Access {
  std::int64_t begin = 0, end = 0;
  bool written = false;
};
std::vector<Access> accesses_of(const Op& op, const Plan& plan);

// The kernels of a stage, in order. Threads meet before a kernel only if it touches what another one writes, or writes
// what another one touches, since they last met.
class Sequence {
 public:
  void append(std::unique_ptr<Kernel> kernel, std::vector<Access> accesses);

  // By every thread of the pool at once, within its run. Threads do not meet at the end.
  void run(Moment moment, int thread, Pool& pool) const noexcept;

  std::int64_t meetings() const noexcept;  // of one run
  std::size_t size() const noexcept { return items_.size(); }
  Kernel& kernel(std::size_t i) const noexcept { return *items_[i].kernel; }

 private:
  struct Item {
    std::unique_ptr<Kernel> kernel;
    bool meet, alone;
  };
  struct Pending {
    Access access;
    bool alone;
  };
  bool conflicts(const std::vector<Access>& accesses, bool alone) const noexcept;

  std::vector<Item> items_;
  std::vector<Pending> pending_;  // since threads last met
};

}  // namespace fewstep::cpu

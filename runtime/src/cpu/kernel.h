#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "fewstep/plan.h"

namespace fewstep::cpu {

// Which step of a run it is: `row` of the schedule, i of the loop.
struct Moment {
  std::int64_t row = 0, step = 0;
};

// Where a value lies. Kernels see views whose arena addresses are fixed for the life of the device.
struct Operand {
  std::byte* base = nullptr;  // at the value's offset; null if it was left out
  const Value* value = nullptr;

  explicit operator bool() const noexcept { return base != nullptr; }
  template <typename T>
  T* at(Moment moment) const noexcept {
    return reinterpret_cast<T*>(base) + moment.row * value->row + moment.step * value->step;
  }
};

// One operation, prepared: everything that can be known before a run is known, weights are packed, scratch is
// allocated.
//
// 1. run is called for each phase, once the one before is done, and there for each share `thread` of `threads`, by
// whoever has time for it, several at once.
// 2. run allocates nothing, throws nothing and writes nothing but its outputs and its own scratch.
// 3. Its result does not depend on `threads` in any bit.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual int phases() const noexcept { return 1; }
  virtual std::string choice() const { return {}; }           // the algorithm, for people, where there are several
  virtual std::size_t scratch() const noexcept { return 0; }  // bytes of it, packed weights included
  virtual bool alone() const noexcept { return false; }       // so little work that it is one share, called as 0 of 1
  // Weights have other values now, at the same addresses: those that are packed are packed anew. Not during a run.
  virtual void repack() noexcept {}
  // Called after a run: what was wrong with the caller's data since the last call, such as an index out of range.
  // A kernel that meets such data goes on without touching memory that is not its own.
  virtual std::string take_fault() { return {}; }
  virtual void run(Moment moment, int phase, int thread, int threads) noexcept = 0;
};

}  // namespace fewstep::cpu

#pragma once

#include <vector>

#include "cuda/addresses.h"
#include "cuda/module.h"
#include "cuda/stream.h"

namespace fewstep::cuda {

// One launch of a plan, its parameters packed: what moves with the step is written anew when it is enqueued.
//
// 1. enqueue allocates nothing.
class PreparedLaunch {
 public:
  // launch and addresses outlive this.
  PreparedLaunch(Driver& driver, const Launch& launch, FunctionHandle function, const Addresses& addresses);

  void enqueue(Stream& stream, Moment moment);

 private:
  struct Slot {
    const Param* param;
    std::byte* place;
  };

  void write(Driver& driver, const Slot& slot, Moment moment);

  const Launch& launch_;
  FunctionHandle function_;
  const Addresses& addresses_;
  std::vector<EncodedTensorMap> storage_;
  std::vector<void*> places_;
  std::vector<Slot> moving_;
};

}  // namespace fewstep::cuda

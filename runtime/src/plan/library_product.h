#pragma once

#include <vector>

#include "fewstep/plan.h"
#include "plan/fields.h"

namespace fewstep {

constexpr std::int64_t kMostWorkspace = std::int64_t{64} << 20;  // bytes

// Of each buffer whether an operation, an input, an output or the schedule names it.
std::vector<bool> named_buffers(const Plan& plan);

// That a library's product is its op, a matmul without glu, gate and residual, and that the library takes its operands.
void check_library_product(const Place& place, const Plan& plan, const Op& op, const LibraryProduct& product,
                           const std::vector<bool>& named);

}  // namespace fewstep

#pragma once

#include <memory>

#include "cpu/kernels.h"

namespace fewstep::cpu {

// The kernel of an op, by its kind; operands that the op leaves out at its end are added to the problem as null.
// Throws PlanError if the CPU has none, DeviceError.
std::unique_ptr<Kernel> make_kernel(Problem& problem);

}  // namespace fewstep::cpu

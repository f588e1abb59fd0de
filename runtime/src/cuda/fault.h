#pragma once

#include "cuda/abi.h"
#include "fewstep/error.h"

namespace fewstep::cuda {

// What a driver's error means to a server. Fatal: the context is lost, or nobody knows whether it is.
Fault fault_of(Result result) noexcept;

}  // namespace fewstep::cuda

#pragma once

#include <cstddef>
#include <string>

#include "fewstep/op.h"

namespace fewstep::cuda {

// The bytes of a scalar parameter's kind: i1 to u64, fp16, bf16, fp32, fp64. Throws std::invalid_argument.
std::size_t scalar_bytes(const std::string& kind);

// Writes them. fp16 and bf16 are rounded to nearest even.
void write_scalar(const Param& param, std::byte* place);

}  // namespace fewstep::cuda

#pragma once

#include <string>

#include "cpu/isa.h"
#include "cpu/simd/gemm.h"

namespace fewstep::cpu {

const Gemm& gemm_of(Isa isa) noexcept;
Activation activation_of(const std::string& name);  // throws DeviceError

}  // namespace fewstep::cpu

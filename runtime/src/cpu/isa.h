#pragma once

namespace fewstep::cpu {

// The builds of src/cpu/simd. Each file there defines its functions in namespace FEWSTEP_ISA and one table of them.
enum class Isa { portable, avx2, avx512 };

// The widest that this machine and this build have.
Isa best_isa() noexcept;
const char* name_of(Isa isa) noexcept;

}  // namespace fewstep::cpu

#include "cpu/elementwise.h"

#include "cpu/simd/tables.h"

namespace fewstep::cpu {

Elementwise elementwise(Isa isa, Operator op) noexcept {
  const auto index = static_cast<int>(op);
#if defined(__x86_64__)
  if (isa == Isa::avx512) return avx512::kElementwise.of[index];
  if (isa == Isa::avx2) return avx2::kElementwise.of[index];
#endif
  static_cast<void>(isa);
  return portable::kElementwise.of[index];
}

}  // namespace fewstep::cpu

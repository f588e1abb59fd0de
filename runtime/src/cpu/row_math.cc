#include "cpu/row_math.h"

#include "cpu/simd/tables.h"

namespace fewstep::cpu {

const RowMath& row_math(Isa isa) noexcept {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return avx512::kRowMath;
  if (isa == Isa::avx2) return avx2::kRowMath;
#endif
  static_cast<void>(isa);
  return portable::kRowMath;
}

}  // namespace fewstep::cpu

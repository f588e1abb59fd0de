#include "cpu/attention_math.h"

#include "cpu/simd/tables.h"

namespace fewstep::cpu {

const AttentionMath& attention_math(Isa isa) noexcept {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return avx512::kAttentionMath;
  if (isa == Isa::avx2) return avx2::kAttentionMath;
#endif
  static_cast<void>(isa);
  return portable::kAttentionMath;
}

}  // namespace fewstep::cpu

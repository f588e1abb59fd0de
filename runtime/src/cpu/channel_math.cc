#include "cpu/channel_math.h"

#include "cpu/simd/tables.h"

namespace fewstep::cpu {

const ChannelMath& channel_math(Isa isa) noexcept {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return avx512::kChannelMath;
  if (isa == Isa::avx2) return avx2::kChannelMath;
#endif
  static_cast<void>(isa);
  return portable::kChannelMath;
}

}  // namespace fewstep::cpu

#include "cpu/gemm.h"

#include "fewstep/error.h"

namespace fewstep::cpu {

const Gemm& gemm_of([[maybe_unused]] Isa isa) noexcept {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return avx512::kGemm;
  if (isa == Isa::avx2) return avx2::kGemm;
#endif
  return portable::kGemm;
}

Activation activation_of(const std::string& name) {
  constexpr const char* kNames[] = {"", "silu", "relu", "gelu", "gelu_tanh", "sigmoid", "tanh"};
  for (int i = 0; i < 7; ++i) {
    if (name == kNames[i]) return static_cast<Activation>(i);
  }
  throw DeviceError(Fault::unavailable, "activation \"" + name + "\": the CPU has none of that name");
}

}  // namespace fewstep::cpu

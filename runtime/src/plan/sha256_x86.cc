#include "plan/sha256_block.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fewstep {

#if defined(__x86_64__)

bool has_sha_instructions() noexcept {
  // CPUID leaf 7, EBX bit 29; GCC 12's __builtin_cpu_supports does not know "sha".
  unsigned eax = 7, ebx = 0, ecx = 0, edx = 0;
  if (!__builtin_cpu_supports("sse4.1")) return false;
  __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  return (ebx >> 29 & 1) != 0;
}

// The instructions keep the state as two registers, (A B E F) and (C D G H), and do four rounds at a time, for which
// `m` holds four words of the message: message[i % 4].
__attribute__((target("sha,sse4.1,ssse3"))) void instruction_blocks(Sha256State& state, const std::byte* data,
                                                                    std::size_t count) noexcept {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  auto* const words = reinterpret_cast<__m128i*>(state.data());
  const __m128i dcba = _mm_loadu_si128(words), hgfe = _mm_loadu_si128(words + 1);
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
  const auto* constants = reinterpret_cast<const __m128i*>(kSha256Constants.data());

  for (; count > 0; --count, data += kSha256Block) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i m[4];
    for (int i = 0; i < 4; ++i) {
      m[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data) + i), swap);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      if (i >= 4) {
        const __m128i next = _mm_add_epi32(_mm_sha256msg1_epu32(m[i % 4], m[(i + 1) % 4]),
                                           _mm_alignr_epi8(m[(i + 3) % 4], m[(i + 2) % 4], 4));
        m[i % 4] = _mm_sha256msg2_epu32(next, m[(i + 3) % 4]);
      }
      const __m128i wk = _mm_add_epi32(m[i % 4], _mm_load_si128(constants + i));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(words, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(words + 1, _mm_alignr_epi8(dchg, feba, 8));
}

#else

bool has_sha_instructions() noexcept { return false; }
void instruction_blocks(Sha256State&, const std::byte*, std::size_t) noexcept {}

#endif

}  // namespace fewstep

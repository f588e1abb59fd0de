#pragma once

// Vectors of the widest registers of the instruction set that a file of this folder is compiled for. Nothing here has
// a name outside of namespace FEWSTEP_ISA, so that no code for one machine is linked into that of another.

#include <cstddef>
#include <cstdint>

#pragma GCC diagnostic ignored "-Wpsabi"  // every function below is inlined

#define FEWSTEP_INLINE static inline __attribute__((always_inline))

namespace fewstep::cpu::FEWSTEP_ISA {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
constexpr std::size_t kWidth = kLanes;

typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef std::int32_t IVec __attribute__((vector_size(4 * kLanes)));
typedef float Half __attribute__((vector_size(2 * kLanes)));
typedef double DVec __attribute__((vector_size(4 * kLanes)));
typedef std::int64_t LVec __attribute__((vector_size(4 * kLanes)));
typedef std::uint64_t ULVec __attribute__((vector_size(4 * kLanes)));  // sums wrap

FEWSTEP_INLINE Vec splat(float x) { return x - Vec{}; }  // x - 0 is x, whatever its sign
FEWSTEP_INLINE DVec wide_splat(double x) { return x - DVec{}; }

FEWSTEP_INLINE Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

FEWSTEP_INLINE void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }

// The first n lanes, n < kLanes; the others are 0.
FEWSTEP_INLINE Vec load_part(const float* p, std::size_t n) {
  Vec v{};
  for (std::size_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}

FEWSTEP_INLINE void store_part(float* p, Vec v, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) p[i] = v[i];
}

struct Pair {
  DVec low, high;
};

FEWSTEP_INLINE Pair widen(Vec x) {
  Half halves[2];
  __builtin_memcpy(halves, &x, sizeof x);
  return {__builtin_convertvector(halves[0], DVec), __builtin_convertvector(halves[1], DVec)};
}

FEWSTEP_INLINE Vec narrow(Pair x) {
  const Half halves[2] = {__builtin_convertvector(x.low, Half), __builtin_convertvector(x.high, Half)};
  Vec v;
  __builtin_memcpy(&v, halves, sizeof v);
  return v;
}

FEWSTEP_INLINE double total(DVec x) {
  double sum = 0;
  for (int i = 0; i < kLanes / 2; ++i) sum += x[i];
  return sum;
}

// A sum that stays in its register: GCC would spill some of them in every turn, and their additions wait for that.
FEWSTEP_INLINE Vec kept(Vec sum) {
#if defined(__AVX512F__)
  asm("" : "+v"(sum));
#elif defined(__AVX2__)
  asm("" : "+x"(sum));
#endif
  return sum;
}

FEWSTEP_INLINE Vec absolute(Vec x) { return (Vec)((IVec)x & 0x7fffffff); }
FEWSTEP_INLINE DVec absolute(DVec x) { return (DVec)((LVec)x & 0x7fffffffffffffff); }

FEWSTEP_INLINE Vec square_root(Vec x) {
  Vec y;
  for (int i = 0; i < kLanes; ++i) y[i] = __builtin_sqrtf(x[i]);
  return y;
}

}  // namespace fewstep::cpu::FEWSTEP_ISA

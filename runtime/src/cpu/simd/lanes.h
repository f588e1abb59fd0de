#pragma once

#include <cstdint>

namespace fewstep::cpu::FEWSTEP_ISA {

#if defined(__AVX512F__)
constexpr std::int64_t kLanes = 16;
#elif defined(__AVX2__)
constexpr std::int64_t kLanes = 8;
#else
constexpr std::int64_t kLanes = 4;
#endif

using Vec = float __attribute__((vector_size(4 * kLanes)));
using VecInt = std::int32_t __attribute__((vector_size(4 * kLanes)));
using Loose = float __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));  // at any address of a float

static inline Vec load(const float* from) { return *reinterpret_cast<const Loose*>(from); }
static inline void store(float* to, Vec value) { *reinterpret_cast<Loose*>(to) = value; }
static inline Vec spread(float value) { return value - Vec{}; }

// Whole vectors.
struct Full {
  Vec get(const float* from) const { return load(from); }
  void put(float* to, Vec value) const { store(to, value); }
};

// The last `count` columns of a row.
struct Part {
  std::int64_t count;
  Vec get(const float* from) const {
    float lanes[kLanes] = {};
    for (std::int64_t i = 0; i < count; ++i) lanes[i] = from[i];
    return load(lanes);
  }
  void put(float* to, Vec value) const {
    float lanes[kLanes];
    store(lanes, value);
    for (std::int64_t i = 0; i < count; ++i) to[i] = lanes[i];
  }
};

}  // namespace fewstep::cpu::FEWSTEP_ISA

#pragma once

#include <cstdint>

#include "cpu/simd/vector.h"

namespace fewstep::cpu::FEWSTEP_ISA {

// Whole vectors.
struct Full {
  Vec get(const float* from) const { return load(from); }
  void put(float* to, Vec value) const { store(to, value); }
};

// The last `count` columns of a row.
struct Part {
  std::int64_t count;
  Vec get(const float* from) const { return load_part(from, static_cast<std::size_t>(count)); }
  void put(float* to, Vec value) const { store_part(to, value, static_cast<std::size_t>(count)); }
};

}  // namespace fewstep::cpu::FEWSTEP_ISA

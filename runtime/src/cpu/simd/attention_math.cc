#include "cpu/attention_math.h"

#include "cpu/simd/tables.h"
#include "cpu/simd/vector.h"

namespace fewstep::cpu::FEWSTEP_ISA {
namespace {

struct Matrices {
  const float *a, *b;
  float* c;
  std::int64_t pitch_a, pitch_b, pitch_c, depth;
  bool accumulate;
};

// R rows by N vectors of c, all in registers.
template <int R, int N>
void tile(const Matrices& m, std::int64_t row, std::int64_t column) {
  Vec sum[R][N];
  const float *a = m.a + row * m.pitch_a, *b = m.b + column;
  float* c = m.c + row * m.pitch_c + column;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) sum[r][n] = m.accumulate ? load(c + r * m.pitch_c + n * kLanes) : Vec{};
  }
#pragma GCC unroll 1
  for (std::int64_t k = 0; k < m.depth; ++k) {
    Vec of_b[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) of_b[n] = load(b + k * m.pitch_b + n * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec of_a = splat(a[r * m.pitch_a + k]);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[r][n] = kept(sum[r][n] + of_a * of_b[n]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) store(c + r * m.pitch_c + n * kLanes, sum[r][n]);
  }
}

template <int R>
FEWSTEP_INLINE void strip(const Matrices& m, std::int64_t row, std::int64_t columns) {
  std::int64_t c = 0;
  for (; c + 3 * kLanes <= columns; c += 3 * kLanes) tile<R, 3>(m, row, c);
  if (c + 2 * kLanes <= columns) {
    tile<R, 2>(m, row, c);
  } else if (c < columns) {
    tile<R, 1>(m, row, c);
  }
}

void product(const float* a, std::int64_t pitch_a, const float* b, std::int64_t pitch_b, float* c, std::int64_t pitch_c,
             std::int64_t rows, std::int64_t columns, std::int64_t depth, bool accumulate) {
  const Matrices m{a, b, c, pitch_a, pitch_b, pitch_c, depth, accumulate};
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4) strip<4>(m, row, columns);
  for (; row < rows; ++row) strip<1>(m, row, columns);
}

}  // namespace

extern const AttentionMath kAttentionMath = {kLanes, product};

}  // namespace fewstep::cpu::FEWSTEP_ISA

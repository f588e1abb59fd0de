#include "cpu/simd/gemm.h"

#include "cpu/simd/lanes.h"

namespace fewstep::cpu::FEWSTEP_ISA {

void finish(const Finish& finish);

namespace {

// As many accumulators as hide the latency of a multiply-add and leave registers for a row of b.
#if defined(__AVX512F__)
constexpr std::int64_t kRows = 8, kVectors = 3;
#elif defined(__AVX2__)
constexpr std::int64_t kRows = 4, kVectors = 3;
#else
constexpr std::int64_t kRows = 4, kVectors = 2;
#endif
constexpr std::int64_t kLine = 16;  // floats of a cache line

template <int R, int V>
void product(const Tile& tile) {
  Vec sum[R][V];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) sum[r][v] = tile.accumulate ? load(tile.c + r * tile.c_pitch + v * kLanes) : Vec{};
  }
  const float* b = tile.b;
  const float* prefetch = tile.prefetch;
  for (std::int64_t tap = 0; tap < tile.taps; ++tap) {
    const float* a[R];
    for (int r = 0; r < R; ++r) a[r] = tile.a[tap * tile.pitch + r] + tile.offset;
    const std::int64_t end = tile.depth * tile.step;
    for (std::int64_t k = 0; k != end; k += tile.step) {
      Vec row[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) row[v] = load(b + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec left = spread(a[r][k]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[r][v] += left * row[v];
      }
      b += V * kLanes;
      __builtin_prefetch(prefetch);
      prefetch += kLine;
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) store(tile.c + r * tile.c_pitch + v * kLanes, sum[r][v]);
  }
}

template <int V>
void product_of(const Tile& tile, std::int64_t rows) {
  switch (rows) {
    case 1:
      return product<1, V>(tile);
    case 2:
      return product<2, V>(tile);
    case 3:
      return product<3, V>(tile);
    case 4:
      return product<4, V>(tile);
#if defined(__AVX512F__)
    case 5:
      return product<5, V>(tile);
    case 6:
      return product<6, V>(tile);
    case 7:
      return product<7, V>(tile);
    case 8:
      return product<8, V>(tile);
#endif
  }
}

void product_any(const Tile& tile, std::int64_t rows, std::int64_t vectors) {
  if (vectors == 1) return product_of<1>(tile, rows);
  if (vectors == 2) return product_of<2>(tile, rows);
  if constexpr (kVectors == 3) return product_of<3>(tile, rows);
}

}  // namespace

const Gemm kGemm{kLanes, kRows, kVectors, product_any, finish};

}  // namespace fewstep::cpu::FEWSTEP_ISA

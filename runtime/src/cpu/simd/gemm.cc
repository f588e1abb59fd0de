#include "cpu/simd/gemm.h"

#include "cpu/simd/lanes.h"

namespace fewstep::cpu::FEWSTEP_ISA {

void finish(const Finish& finish);
void winograd_input(const WinogradInput& input);
void winograd_output(const WinogradOutput& output);

namespace {

// Vectors of a tile, and its rows by them: as many accumulators as hide the latency of a multiply-add and leave
// registers for a row of b.
#if defined(__AVX512F__)
constexpr int kVectors = 3, kRows[] = {8, 8, 8};
#elif defined(__AVX2__)
constexpr int kVectors = 3, kRows[] = {8, 6, 4};
#else
constexpr int kVectors = 2, kRows[] = {4, 4, 4};
#endif

template <int R, int V, bool Unit>
void product(const Tile& tile) {
  Vec sum[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[r][v] = Vec{};
  }
  const float* b = tile.b;
  const float* prefetch = tile.prefetch;
  const std::int64_t step = Unit ? 1 : tile.step;
  for (std::int64_t tap = 0; tap < tile.taps; ++tap) {
    const float* a[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) a[r] = tile.a[tap * tile.pitch + r] + tile.offset;
    std::int64_t k = 0;
    const auto add = [&]() __attribute__((always_inline)) {
      Vec row[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) row[v] = load(b + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec left = splat(a[r][k * step]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
          sum[r][v] = kept(sum[r][v] + left * row[v]);
        }
      }
      ++k;
      b += V * kLanes;
      __builtin_prefetch(prefetch);
      prefetch += tile.prefetch_step;
    };
#pragma GCC unroll 1
    while (k + 4 <= tile.depth) {  // few enough turns that their end is foreseen
      add();
      add();
      add();
      add();
    }
#pragma GCC unroll 1
    while (k < tile.depth) add();
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    float* c = tile.c + r * tile.c_pitch;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(c + v * kLanes, tile.accumulate ? load(c + v * kLanes) + sum[r][v] : sum[r][v]);
  }
}

template <int R, int V>
void product_of(const Tile& tile, std::int64_t rows) {
  if constexpr (R > 1) {
    if (rows < R) return product_of<R - 1, V>(tile, rows);
  }
  return tile.step == 1 ? product<R, V, true>(tile) : product<R, V, false>(tile);
}

void product_any(const Tile& tile, std::int64_t rows, std::int64_t vectors) {
  if (vectors == 1) return product_of<kRows[0], 1>(tile, rows);
  if (vectors == 2) return product_of<kRows[1], 2>(tile, rows);
  if constexpr (kVectors == 3) return product_of<kRows[2], 3>(tile, rows);
}

}  // namespace

const Gemm kGemm{
    kLanes,         kVectors,       {kRows[0], kRows[1], kRows[2]}, kRows[kVectors - 1], product_any, finish,
    winograd_input, winograd_output};

}  // namespace fewstep::cpu::FEWSTEP_ISA

#include "cpu/simd/gemm.h"

#include "cpu/simd/lanes.h"

namespace fewstep::cpu::FEWSTEP_ISA {

void finish(const Finish& finish);
void winograd_input(const WinogradInput& input);
void winograd_output(const WinogradOutput& output);

namespace {

// As many accumulators as hide the latency of a multiply-add and leave registers for a row of b.
#if defined(__AVX512F__)
constexpr std::int64_t kRows = 8, kVectors = 3;
#elif defined(__AVX2__)
constexpr std::int64_t kRows = 4, kVectors = 3;
#else
constexpr std::int64_t kRows = 4, kVectors = 2;
#endif

constexpr int kUnroll = 4;

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
    const auto add = [&] {
      Vec row[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) row[v] = load(b + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec left = spread(a[r][k * step]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[r][v] += left * row[v];
      }
      ++k;
      b += V * kLanes;
      __builtin_prefetch(prefetch);
      prefetch += tile.prefetch_step;
    };
    while (k + kUnroll <= tile.depth) {  // few enough turns that their end is foreseen
#pragma GCC unroll 8
      for (int i = 0; i < kUnroll; ++i) add();
    }
    while (k < tile.depth) add();
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    float* c = tile.c + r * tile.c_pitch;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(c + v * kLanes, tile.accumulate ? load(c + v * kLanes) + sum[r][v] : sum[r][v]);
  }
}

template <int V>
void product_of(const Tile& tile, std::int64_t rows) {
  switch (rows) {
    case 1:
      return tile.step == 1 ? product<1, V, true>(tile) : product<1, V, false>(tile);
    case 2:
      return tile.step == 1 ? product<2, V, true>(tile) : product<2, V, false>(tile);
    case 3:
      return tile.step == 1 ? product<3, V, true>(tile) : product<3, V, false>(tile);
    case 4:
      return tile.step == 1 ? product<4, V, true>(tile) : product<4, V, false>(tile);
#if defined(__AVX512F__)
    case 5:
      return tile.step == 1 ? product<5, V, true>(tile) : product<5, V, false>(tile);
    case 6:
      return tile.step == 1 ? product<6, V, true>(tile) : product<6, V, false>(tile);
    case 7:
      return tile.step == 1 ? product<7, V, true>(tile) : product<7, V, false>(tile);
    case 8:
      return tile.step == 1 ? product<8, V, true>(tile) : product<8, V, false>(tile);
#endif
  }
}

void product_any(const Tile& tile, std::int64_t rows, std::int64_t vectors) {
  if (vectors == 1) return product_of<1>(tile, rows);
  if (vectors == 2) return product_of<2>(tile, rows);
  if constexpr (kVectors == 3) return product_of<3>(tile, rows);
}

}  // namespace

const Gemm kGemm{kLanes, kRows, kVectors, product_any, finish, winograd_input, winograd_output};

}  // namespace fewstep::cpu::FEWSTEP_ISA

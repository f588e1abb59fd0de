#include "cpu/tiles.h"

#include <algorithm>

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kLine = 16;  // floats of a cache line

}  // namespace

void multiply_rows(const Gemm& gemm, Tile tile, std::int64_t rows, std::int64_t vectors, const float* next) noexcept {
  const std::int64_t depth = tile.taps * tile.depth;
  const float* end = next + depth * vectors * gemm.lanes;
  tile.prefetch = tile.b, tile.prefetch_step = 0;  // the first tile is busy with fetching b itself
  const std::int64_t step = gemm.rows[vectors - 1];
  for (std::int64_t r = 0; r < rows; r += step) {
    gemm.product(tile, std::min(step, rows - r), vectors);
    tile.a += step;
    tile.c += step * tile.c_pitch;
    tile.prefetch = next < end ? next : tile.b;
    tile.prefetch_step = next < end ? kLine : 0;
    next += depth * kLine;
  }
}

}  // namespace fewstep::cpu

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
  for (std::int64_t r = 0; r < rows; r += gemm.rows) {
    gemm.product(tile, std::min(gemm.rows, rows - r), vectors);
    tile.a += gemm.rows;
    tile.c += gemm.rows * tile.c_pitch;
    tile.prefetch = next < end ? next : tile.b;
    tile.prefetch_step = next < end ? kLine : 0;
    next += depth * kLine;
  }
}

}  // namespace fewstep::cpu

#include "cpu/tiles.h"

#include <algorithm>

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kLine = 16;    // floats of a cache line
constexpr std::int64_t kAhead = 768;  // floats of b: 3 KB, about the time that the last cache takes

}  // namespace

void multiply_rows(const Gemm& gemm, Tile tile, std::int64_t rows, std::int64_t vectors, const float* next) noexcept {
  const std::int64_t depth = tile.taps * tile.depth;
  const float* end = next + depth * vectors * gemm.lanes;
  const std::int64_t step = gemm.rows[vectors - 1];
  const bool once = rows <= step;  // no later tile has the time to fetch what comes next
  tile.prefetch = once ? tile.b + kAhead : tile.b;
  tile.prefetch_step = once ? vectors * gemm.lanes : 0;
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

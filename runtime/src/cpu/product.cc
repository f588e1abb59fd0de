#include "cpu/product.h"

#include <algorithm>
#include <utility>

#include "cpu/tiles.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kBlockRows = 64;
constexpr std::int64_t kChunk = 256;  // rows of b: 24 KB of a panel, which stay in the first cache for a block's tiles
constexpr std::int64_t kCached = 1 << 16;  // floats of a that stay in the second cache while every panel meets them

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

Product::Product(const Gemm& gemm, const Shape& shape, Panels panels, int threads)
    : b(std::move(panels)), gemm_(gemm), shape_(shape) {
  const auto items = [&] { return shape.sheets * ceil_div(shape.rows, block_) * b.count(); };
  block_ = std::min(kBlockRows, ceil_div(shape.rows, gemm.widest_rows) * gemm.widest_rows);
  while (block_ > gemm.widest_rows && ceil_div(items(), threads) * threads * 8 > items() * 9) {
    block_ = ceil_div(block_ / 2, gemm.widest_rows) * gemm.widest_rows;
  }
  blocks_ = ceil_div(shape.rows, block_);
  rows_first_ = shape.rows > shape.columns || shape.rows * shape.depth > kCached;
  chunk_ = shape.taps == 1 || shape.depth > kChunk ? kChunk : kChunk / shape.depth * shape.depth;
  c_ = Floats(threads * 2 * block_ * gemm.vectors * gemm.lanes);
}

std::size_t Product::scratch() const noexcept { return c_.bytes() + b.bytes() + epilogue.scratch(); }

void Product::tiles(const Rows::Block& rows, std::int64_t count, std::int64_t sheet, std::int64_t set,
                    std::int64_t panel, float* c) const noexcept {
  const std::int64_t width = b.width(panel);
  Tile tile{.a = nullptr,
            .pitch = rows.pitch,
            .taps = 1,
            .depth = shape_.depth,
            .offset = 0,
            .step = a_step,
            .b = b.at(set, panel),
            .prefetch = nullptr,
            .prefetch_step = 0,
            .c = c,
            .c_pitch = width,
            .accumulate = false};
  const std::int64_t whole = std::max<std::int64_t>(1, chunk_ / shape_.depth);  // taps of a chunk
  const std::int64_t part = std::min(chunk_, shape_.depth);
  for (std::int64_t tap = 0; tap < shape_.taps; tap += whole) {
    tile.taps = std::min(whole, shape_.taps - tap);
    for (std::int64_t k = 0; k < shape_.depth; k += part) {
      tile.depth = std::min(part, shape_.depth - k);
      tile.offset = a_sheets[static_cast<std::size_t>(sheet)] + k * a_step;
      const float* next = tile.b + tile.taps * tile.depth * width;
      tile.a = rows.at + tap * rows.pitch;
      multiply_rows(gemm_, tile, count, b[panel].vectors, next);
      tile.b = next;
      tile.accumulate = true;
    }
  }
}

void Product::run(Moment moment, int thread, int threads) noexcept {
  const std::int64_t panels = b.count(), items = shape_.sheets * blocks_ * panels;
  float* c = c_.get() + thread * 2 * block_ * gemm_.vectors * gemm_.lanes;
  std::int64_t last = -1, first = 0;
  Rows::Block rows;
  Epilogue::Block targets;
  for (std::int64_t item = items * thread / threads; item < items * (thread + 1) / threads; ++item) {
    const std::int64_t sheet = item / (blocks_ * panels), place = item % (blocks_ * panels);
    const std::int64_t block = rows_first_ ? place / panels : place % blocks_;
    const std::int64_t panel = rows_first_ ? place % panels : place / blocks_;
    const std::int64_t count = std::min(block_, shape_.rows - block * block_);
    if (block != last) {
      first = block * block_;
      rows = a.block(moment, first, count, thread);
      targets = epilogue.block(moment, first, count, thread);
      last = block;
    }
    const std::int64_t width = b.width(panel), set = b_sheets[static_cast<std::size_t>(sheet)];
    tiles(rows, count, sheet, set, panel, c);
    float* gate = nullptr;
    if (shape_.glu) {
      gate = c + block_ * width;
      tiles(rows, count, sheet, set + 1, panel, gate);
    }
    epilogue.run(moment, targets, 0, sheet, b[panel].first, b[panel].columns, c, gate, width, gemm_, thread);
  }
}

}  // namespace fewstep::cpu

#include "cpu/rows.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kMostFixed = 1 << 16;  // addresses, half a megabyte

}  // namespace

Rows::Rows(const Operand& operand, const Grid& grid, const float* outside, std::int64_t largest, int threads)
    : operand_(operand), grid_(grid), outside_(outside), largest_(largest) {
  if (!operand) return;
  const std::int64_t rows = grid.rows(), taps = grid.taps();
  fixed_ = operand.value->row == 0 && operand.value->step == 0 && rows * taps <= kMostFixed;
  table_.resize(static_cast<std::size_t>(taps * (fixed_ ? rows : largest * threads)));
  if (fixed_) fill(operand.at<float>({}), 0, rows, rows, table_.data());
}

Rows::Block Rows::block(Moment moment, std::int64_t first, std::int64_t count, int thread) noexcept {
  if (!operand_) return {};
  if (fixed_) return {table_.data() + first, grid_.rows()};
  const float** at = table_.data() + thread * largest_ * grid_.taps();
  fill(operand_.at<float>(moment), first, count, largest_, at);
  return {at, largest_};
}

void Rows::fill(const float* base, std::int64_t first, std::int64_t count, std::int64_t pitch,
                const float** at) const noexcept {
  const Grid::Axis &vertical = grid_.y, &horizontal = grid_.x;
  std::int64_t x = first % horizontal.count, y = first / horizontal.count % vertical.count;
  std::int64_t b = first / (horizontal.count * vertical.count);
  for (std::int64_t i = 0; i < count; ++i) {
    const float* image = base + b * grid_.batch_stride;
    const float** tap = at + i;
    for (std::int64_t v = 0; v < vertical.taps; ++v) {
      const std::int64_t py = y * vertical.step + v * vertical.dilation - vertical.padding;
      for (std::int64_t h = 0; h < horizontal.taps; ++h, tap += pitch) {
        const std::int64_t px = x * horizontal.step + h * horizontal.dilation - horizontal.padding;
        const bool inside = py >= 0 && py < vertical.limit && px >= 0 && px < horizontal.limit;
        *tap = inside ? image + py / vertical.repeat * vertical.stride + px / horizontal.repeat * horizontal.stride
                      : outside_;
      }
    }
    if (++x == horizontal.count) {
      x = 0;
      if (++y == vertical.count) y = 0, ++b;
    }
  }
}

}  // namespace fewstep::cpu

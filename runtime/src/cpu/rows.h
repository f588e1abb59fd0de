#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "cpu/kernel.h"

namespace fewstep::cpu {

// Rows (b, y, x) of an image or a matrix, and the element of a view that each begins at for each tap of a kernel.
struct Grid {
  struct Axis {
    std::int64_t count = 1, stride = 0;  // of rows; elements of the view from one of its own positions to the next
    std::int64_t taps = 1, step = 1, dilation = 1, padding = 0;
    std::int64_t limit = std::numeric_limits<std::int64_t>::max();  // positions that the view has
    std::int64_t repeat = 1;                                        // positions that show the same element of the view
  };
  std::int64_t batch = 1, batch_stride = 0;
  Axis y, x;

  std::int64_t rows() const noexcept { return batch * y.count * x.count; }
  std::int64_t taps() const noexcept { return y.taps * x.taps; }
};

// The addresses of a grid's rows, [tap][pitch], found once if they never move and are few, else for each block of rows.
class Rows {
 public:
  struct Block {
    const float* const* at = nullptr;
    std::int64_t pitch = 0;
  };

  Rows() = default;
  // outside: what rows begin at that lie in the padding. largest: rows of a block. A null operand has no rows.
  Rows(const Operand& operand, const Grid& grid, const float* outside, std::int64_t largest, int threads);

  explicit operator bool() const noexcept { return static_cast<bool>(operand_); }
  Block block(Moment moment, std::int64_t first, std::int64_t count, int thread) noexcept;

 private:
  void fill(const float* base, std::int64_t first, std::int64_t count, std::int64_t pitch,
            const float** at) const noexcept;

  Operand operand_;
  Grid grid_;
  const float* outside_ = nullptr;
  std::int64_t largest_ = 0;
  bool fixed_ = false;
  std::vector<const float*> table_;
};

}  // namespace fewstep::cpu

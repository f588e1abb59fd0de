#include "cpu/copy.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "cpu/views.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kBlock = 16;    // floats of a cache line
constexpr std::int64_t kChunk = 8192;  // of a row, a thread's at a time
constexpr std::int64_t kAlone = 4096;

// The loops of a copy: x and y in y's order of memory, merged only where both allow it.
struct Nest {
  std::vector<std::int64_t> sizes, x, y;
};

Nest nest_of(const Value& x, const Value& y) {
  Nest nest;
  for (const std::size_t axis : memory_order(y)) {
    if (y.shape[axis] == 1) continue;
    const std::int64_t size = y.shape[axis], of_x = x.strides[axis], of_y = y.strides[axis];
    if (!nest.sizes.empty() && nest.x.back() == of_x * size && nest.y.back() == of_y * size) {
      nest.sizes.back() *= size;
      nest.x.back() = of_x;
      nest.y.back() = of_y;
    } else {
      nest.sizes.push_back(size);
      nest.x.push_back(of_x);
      nest.y.push_back(of_y);
    }
  }
  return nest;
}

// A matrix of rows by columns for each element of the outer walks: y's columns lie side by side, or x's rows.
template <typename T>
class Copy : public Kernel {
 public:
  Copy(const Operand& x, const Operand& y) : x_(x), y_(y) {
    Nest nest = nest_of(*x.value, *y.value);
    take_columns(nest);
    take_rows(nest);
    outer_x_ = Walk(nest.sizes, nest.x);
    outer_y_ = Walk(nest.sizes, nest.y);
    blocks_ = (rows_ + kBlock - 1) / kBlock;
    chunks_ = (columns_ + kChunk - 1) / kChunk;
  }

  bool alone() const noexcept override { return outer_y_.count() * rows_ * columns_ <= kAlone; }

  void run(Moment moment, int, int thread, int threads) noexcept override {
    const T* x = x_.at<const T>(moment);
    T* y = y_.at<T>(moment);
    const Walk &outer_x = outer_x_, &outer_y = outer_y_;
    const Share share = share_of(outer_x.count() * blocks_ * chunks_, thread, threads);
    for (std::int64_t unit = share.first; unit < share.last; ++unit) {
      const std::int64_t column = unit % chunks_ * kChunk, row = unit / chunks_ % blocks_ * kBlock;
      const std::int64_t outer = unit / chunks_ / blocks_;
      copy(x + outer_x.offset(outer) + row * row_x_ + column * column_x_,
           y + outer_y.offset(outer) + row * row_y_ + column * column_y_, std::min(kBlock, rows_ - row),
           std::min(kChunk, columns_ - column));
    }
  }

 private:
  void take_columns(Nest& nest) {
    if (nest.sizes.empty()) return;
    columns_ = nest.sizes.back();
    column_x_ = nest.x.back();
    column_y_ = nest.y.back();
    drop(nest, nest.sizes.size() - 1);
  }

  // The axis along which x is contiguous, or the innermost that is left.
  void take_rows(Nest& nest) {
    if (nest.sizes.empty()) return;
    std::size_t axis = nest.sizes.size() - 1;
    if (column_x_ != 1) {
      const auto unit = std::find(nest.x.begin(), nest.x.end(), 1);
      if (unit != nest.x.end()) axis = static_cast<std::size_t>(unit - nest.x.begin());
    }
    rows_ = nest.sizes[axis];
    row_x_ = nest.x[axis];
    row_y_ = nest.y[axis];
    drop(nest, axis);
  }

  static void drop(Nest& nest, std::size_t axis) {
    const auto at = static_cast<std::ptrdiff_t>(axis);
    nest.sizes.erase(nest.sizes.begin() + at);
    nest.x.erase(nest.x.begin() + at);
    nest.y.erase(nest.y.begin() + at);
  }

  void copy(const T* x, T* y, std::int64_t rows, std::int64_t columns) const noexcept {
    if (column_x_ == 1 && column_y_ == 1) {
      for (std::int64_t r = 0; r < rows; ++r) {
        std::memmove(y + r * row_y_, x + r * row_x_, static_cast<std::size_t>(columns) * sizeof(T));
      }
      return;
    }
    for (std::int64_t first = 0; first < columns; first += kBlock) {
      const std::int64_t last = std::min(columns, first + kBlock);
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = first; c < last; ++c) y[r * row_y_ + c * column_y_] = x[r * row_x_ + c * column_x_];
      }
    }
  }

  Operand x_, y_;
  Walk outer_x_, outer_y_;
  std::int64_t rows_ = 1, columns_ = 1, blocks_ = 1, chunks_ = 1;
  std::int64_t row_x_ = 0, row_y_ = 0, column_x_ = 1, column_y_ = 1;
};

}  // namespace

std::unique_ptr<Kernel> make_copy(const Operand& x, const Operand& y) {
  switch (bytes_of(y.value->dtype)) {
    case 8:
      return std::make_unique<Copy<std::uint64_t>>(x, y);
    case 4:
      return std::make_unique<Copy<std::uint32_t>>(x, y);
    case 2:
      return std::make_unique<Copy<std::uint16_t>>(x, y);
    default:
      return std::make_unique<Copy<std::uint8_t>>(x, y);
  }
}

}  // namespace fewstep::cpu

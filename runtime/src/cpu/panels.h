#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cpu/floats.h"
#include "cpu/simd/gemm.h"

namespace fewstep::cpu {

// The right operand of products, in panels of as many columns as a tile has: [set][panel][depth][vectors * lanes].
class Panels {
 public:
  struct Panel {
    std::int64_t first, columns, vectors, offset;  // its columns of b; where it begins in a set
  };

  Panels() = default;
  Panels(const Gemm& gemm, std::int64_t depth, std::int64_t columns, std::int64_t sets);

  std::int64_t count() const noexcept { return static_cast<std::int64_t>(panels_.size()); }
  const Panel& operator[](std::int64_t panel) const noexcept { return panels_[static_cast<std::size_t>(panel)]; }
  std::int64_t width(std::int64_t panel) const noexcept { return (*this)[panel].vectors * lanes_; }
  std::size_t bytes() const noexcept { return data_.bytes(); }
  float* at(std::int64_t set, std::int64_t panel) const noexcept {
    return data_.get() + set * set_ + (*this)[panel].offset;
  }

  // Copies a panel from b, whose element (k, n) lies at b[rows[k] + n * step].
  void pack(std::int64_t set, std::int64_t panel, const float* b, std::span<const std::int64_t> rows,
            std::int64_t step) noexcept;

 private:
  std::int64_t lanes_ = 0, set_ = 0;
  std::vector<Panel> panels_;
  Floats data_;
};

}  // namespace fewstep::cpu

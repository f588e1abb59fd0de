#pragma once

#include <cstdint>

#include "cpu/views.h"

namespace fewstep::cpu {

// An operand as rows along its last axis.
struct RowView {
  Operand operand;
  Walk outer, inner;

  RowView() = default;
  explicit RowView(const Operand& x);

  explicit operator bool() const noexcept { return static_cast<bool>(operand); }
  // Null if the operand was left out.
  const float* read(Moment moment, std::int64_t row, float* room) const noexcept;
  // Where a row may be made: in the view itself or in `room`, from where `finish` brings it there.
  float* begin(Moment moment, std::int64_t row, float* room) const noexcept;
  void finish(Moment moment, std::int64_t row, const float* made) const noexcept;
};

}  // namespace fewstep::cpu

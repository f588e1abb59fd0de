#include "cpu/row_view.h"

namespace fewstep::cpu {

RowView::RowView(const Operand& x) : operand(x) {
  if (!x) return;
  const std::size_t last = x.value->shape.size() - 1;
  outer = walk_of(*x.value, 0, last);
  inner = walk_of(*x.value, last, last + 1);
}

const float* RowView::read(Moment moment, std::int64_t row, float* room) const noexcept {
  if (!operand) return nullptr;
  return gather(inner, operand.at<const float>(moment) + outer.offset(row), 0, inner.count(), room);
}

float* RowView::begin(Moment moment, std::int64_t row, float* room) const noexcept {
  return inner.inner_stride() == 1 ? operand.at<float>(moment) + outer.offset(row) : room;
}

void RowView::finish(Moment moment, std::int64_t row, const float* made) const noexcept {
  float* base = operand.at<float>(moment) + outer.offset(row);
  if (made != base) scatter(inner, made, base, 0, inner.count());
}

}  // namespace fewstep::cpu

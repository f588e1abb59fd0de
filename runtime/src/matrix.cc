#include "matrix.h"

#include <limits>

#include "plan/checked.h"

namespace fewstep {
namespace {

constexpr std::int64_t kMost32 = std::numeric_limits<std::int32_t>::max();

// The leading dimension of lines of `length` elements a stride apart, or 0 if they overlap.
std::int64_t leading_of(std::int64_t lines, std::int64_t stride, std::int64_t length) {
  if (lines == 1) return length;
  return stride >= length ? stride : 0;
}

}  // namespace

std::optional<Matrix> matrix_of(const Value& value) {
  const std::size_t rank = value.shape.size();
  if (rank < 2) return std::nullopt;
  Matrix out;
  out.rows = value.shape[rank - 2];
  out.columns = value.shape[rank - 1];
  const std::int64_t down = value.strides[rank - 2], across = value.strides[rank - 1];
  if (out.columns == 1 || across == 1) out.leading = leading_of(out.rows, down, out.columns);
  if (out.leading == 0 && (out.rows == 1 || down == 1)) {
    out.is_row_major = false;
    out.leading = leading_of(out.columns, across, out.rows);
  }
  if (out.leading == 0) return std::nullopt;
  for (std::size_t axis = rank - 2; axis-- > 0;) {  // from the inside: one distance for all
    if (value.shape[axis] == 1) continue;
    std::int64_t distance = 0;
    if (!checked_multiply(out.distance, out.batch, distance)) return std::nullopt;
    if (out.batch != 1 && value.strides[axis] != distance) return std::nullopt;
    if (out.batch == 1) out.distance = value.strides[axis];
    if (!checked_multiply(out.batch, value.shape[axis], out.batch)) return std::nullopt;
  }
  return out;
}

std::optional<Matrix> joined(const Matrix& matrices) {
  Matrix out = matrices;
  std::int64_t distance = 0;
  if (!checked_multiply(matrices.rows, matrices.leading, distance)) return std::nullopt;
  if (!matrices.is_row_major || matrices.distance != distance) return std::nullopt;
  if (!checked_multiply(matrices.rows, matrices.batch, out.rows) || out.rows > kMost32) return std::nullopt;
  out.batch = 1;
  return out;
}

}  // namespace fewstep

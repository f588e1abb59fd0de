#pragma once

#include <cstdint>
#include <optional>

#include "fewstep/value.h"

namespace fewstep {

// A view's last two axes as a BLAS sees them, and what is before them as a batch: one of both axes has steps of 1, and
// a step of the other, `leading`, passes over a whole line of it. `distance` is from matrix to matrix.
struct Matrix {
  std::int64_t rows = 0, columns = 0, leading = 0, batch = 1, distance = 0;
  bool is_row_major = true;
};

std::optional<Matrix> matrix_of(const Value& value);  // none where its strides are not such; a repeat is no line

// A batch whose rows all follow each other as one matrix; none where they do not, or are more than 2^31 - 1.
std::optional<Matrix> joined(const Matrix& matrices);

}  // namespace fewstep

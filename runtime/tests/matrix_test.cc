#include "matrix.h"

#include <cstdint>
#include <random>
#include <vector>

#include "check.h"

namespace {

using fewstep::Matrix;
using fewstep::Value;

constexpr std::int64_t kMostStride = 24;

// The address of each element, in the view's order.
std::vector<std::int64_t> by_hand(const Value& value) {
  std::vector<std::int64_t> out{0};
  for (std::size_t axis = 0; axis < value.shape.size(); ++axis) {
    std::vector<std::int64_t> next;
    for (const std::int64_t at : out) {
      for (std::int64_t i = 0; i < value.shape[axis]; ++i) next.push_back(at + i * value.strides[axis]);
    }
    out = std::move(next);
  }
  return out;
}

// Whether a matrix's steps lead to these addresses.
bool leads_to(const Matrix& matrix, const std::vector<std::int64_t>& expected) {
  const std::int64_t down = matrix.is_row_major ? matrix.leading : 1;
  const std::int64_t across = matrix.is_row_major ? 1 : matrix.leading;
  std::size_t k = 0;
  for (std::int64_t t = 0; t < matrix.batch; ++t) {
    for (std::int64_t i = 0; i < matrix.rows; ++i) {
      for (std::int64_t j = 0; j < matrix.columns; ++j) {
        if (k == expected.size() || expected[k++] != t * matrix.distance + i * down + j * across) return false;
      }
    }
  }
  return k == expected.size();
}

// Whether any steps up to kMostStride lead to a view's elements, over no line of them.
bool has_steps(const Value& value) {
  const std::vector<std::int64_t> expected = by_hand(value);
  const std::size_t rank = value.shape.size();
  Matrix tried{.rows = value.shape[rank - 2], .columns = value.shape[rank - 1]};
  for (std::size_t axis = 0; axis + 2 < rank; ++axis) tried.batch *= value.shape[axis];
  for (const bool is_row_major : {true, false}) {
    tried.is_row_major = is_row_major;
    for (tried.leading = is_row_major ? tried.columns : tried.rows; tried.leading <= kMostStride; ++tried.leading) {
      for (tried.distance = 0; tried.distance <= kMostStride; ++tried.distance) {
        if (leads_to(tried, expected)) return true;
      }
    }
  }
  return false;
}

// Steps are found where there are any, and lead to each element.
void test_random_views() {
  constexpr std::int64_t kStrides[] = {0, 1, 1, 2, 3, 4, 6, 8, 12, kMostStride};
  std::mt19937 random(3);
  int found = 0;
  for (int trial = 0; trial < 1500; ++trial) {
    Value value;
    for (std::size_t axis = 0; axis < 2 + random() % 3; ++axis) {
      value.shape.push_back(1 + static_cast<std::int64_t>(random() % 3));
      value.strides.push_back(kStrides[random() % std::size(kStrides)]);
    }
    const std::optional<Matrix> matrix = fewstep::matrix_of(value);
    CHECK(matrix.has_value() == has_steps(value));
    if (!matrix) continue;
    ++found;
    CHECK(leads_to(*matrix, by_hand(value)));
    CHECK(matrix->leading >= (matrix->is_row_major ? matrix->columns : matrix->rows));
    const std::optional<Matrix> one = fewstep::joined(*matrix);
    if (one) CHECK(one->batch == 1 && leads_to(*one, by_hand(value)));
  }
  CHECK(found > 200);
}

void test_what_is_no_matrix() {
  CHECK(!fewstep::matrix_of({.shape = {4}, .strides = {1}}));
  CHECK(!fewstep::matrix_of({.shape = {2, 2, 1, 1}, .strides = {std::int64_t{1} << 40, std::int64_t{1} << 62, 1, 1}}));
}

void test_joined() {
  const Matrix rows{.rows = 3, .columns = 4, .leading = 5, .batch = 7, .distance = 15};
  CHECK(fewstep::joined(rows)->rows == 21);
  Matrix other = rows;
  other.distance = 16;
  CHECK(!fewstep::joined(other));
  other = rows;
  other.is_row_major = false;
  CHECK(!fewstep::joined(other));
  other = rows;
  other.batch = 715827883;  // of 3 rows each: 2^31 + 1
  CHECK(!fewstep::joined(other));
  other.batch = 715827882;
  CHECK(fewstep::joined(other)->rows == 2147483646);
}

}  // namespace

int main() {
  test_random_views();
  test_what_is_no_matrix();
  test_joined();
}

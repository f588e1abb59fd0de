#include "cpu/panels.h"

#include <algorithm>

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kLine = 16;  // rows that are packed together: of a transposed b they lie in one cache line

}  // namespace

Panels::Panels(const Gemm& gemm, std::int64_t depth, std::int64_t columns, std::int64_t sets) : lanes_(gemm.lanes) {
  const std::int64_t vectors = (columns + gemm.lanes - 1) / gemm.lanes;
  const std::int64_t count = (vectors + gemm.vectors - 1) / gemm.vectors;
  for (std::int64_t p = 0, first = 0; p < count; ++p) {  // as even as can be: 2 + 2 vectors run faster than 3 + 1
    const std::int64_t share = vectors * (p + 1) / count - vectors * p / count;
    panels_.push_back({first, std::min(share * lanes_, columns - first), share, set_});
    first += share * lanes_;
    set_ += depth * share * lanes_;
  }
  data_ = Floats(set_ * sets, 0.0f);
}

void Panels::pack(std::int64_t set, std::int64_t panel, const float* b, std::span<const std::int64_t> rows,
                  std::int64_t step) noexcept {
  const auto& [first, columns, vectors, offset] = (*this)[panel];
  const std::int64_t depth = static_cast<std::int64_t>(rows.size()), width = vectors * lanes_;
  const float* from = b + first * step;
  float* to = at(set, panel);
  for (std::int64_t begin = 0; begin < depth; begin += kLine) {
    const std::int64_t end = std::min(depth, begin + kLine);
    for (std::int64_t n = 0; n < columns; ++n) {
      for (std::int64_t k = begin; k < end; ++k) {
        to[k * width + n] = from[rows[static_cast<std::size_t>(k)] + n * step];
      }
    }
  }
}

}  // namespace fewstep::cpu

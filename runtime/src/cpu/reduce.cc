#include <algorithm>
#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/attributes.h"
#include "cpu/elementwise.h"
#include "cpu/kernels.h"
#include "cpu/row_math.h"
#include "cpu/views.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kOutputs = 64;  // of a unit
constexpr std::int64_t kChunk = 1024;
constexpr std::int64_t kAlone = 4096;

enum class Kind { mean, sum, max, min };

Kind kind_of(const Op& op) {
  const std::string& name = attribute<std::string>(op, "kind");
  if (name == "mean") return Kind::mean;
  if (name == "sum") return Kind::sum;
  if (name == "max") return Kind::max;
  if (name == "min") return Kind::min;
  throw std::invalid_argument("reduce " + op.name + ": there is no kind " + name);
}

// Row by row where the reduced elements lie side by side, else `kOutputs` columns at once.
class Reduce : public Kernel {
 public:
  explicit Reduce(const Problem& problem)
      : x_(problem.inputs[0]),
        y_(problem.outputs[0]),
        kind_(kind_of(problem.op)),
        table_(row_math(problem.isa)),
        better_(elementwise(problem.isa, kind_ == Kind::min ? Operator::min : Operator::max)) {
    const std::size_t rank = x_.value->shape.size(), kept = y_.value->shape.size();
    const std::vector<std::size_t> order = memory_order(*y_.value);
    outer_ = walk_of(*x_.value, order);
    written_ = walk_of(*y_.value, order);
    reduced_ = walk_of(*x_.value, kept, rank);
    by_row_ = reduced_.inner_stride() == 1 && reduced_.inner_size() > 1;
  }

  bool alone() const noexcept override { return outer_.count() * reduced_.count() <= kAlone; }

  void run(Moment moment, int, int thread, int threads) noexcept override {
    const auto* x = x_.at<const float>(moment);
    std::array<float, kOutputs> made;
    const Share share = share_of((outer_.count() + kOutputs - 1) / kOutputs, thread, threads);
    for (std::int64_t unit = share.first; unit < share.last; ++unit) {
      const std::int64_t first = unit * kOutputs, count = std::min(kOutputs, outer_.count() - first);
      if (by_row_) {
        for (std::int64_t i = 0; i < count; ++i) made[static_cast<std::size_t>(i)] = row(x + outer_.offset(first + i));
      } else {
        columns(x, first, count, made.data());
      }
      scatter(written_, made.data(), y_.at<float>(moment), first, count);
    }
  }

 private:
  bool is_sum() const noexcept { return kind_ == Kind::mean || kind_ == Kind::sum; }
  double divisor() const noexcept { return kind_ == Kind::mean ? static_cast<double>(reduced_.count()) : 1.0; }

  float row(const float* x) const noexcept {
    std::array<float, kChunk> room;
    double sum = 0;
    float best = *x;
    for (std::int64_t first = 0; first < reduced_.count(); first += kChunk) {
      const std::int64_t count = std::min(kChunk, reduced_.count() - first);
      const float* chunk = gather(reduced_, x, first, count, room.data());
      const auto n = static_cast<std::size_t>(count);
      if (is_sum()) {
        sum += table_.sum(chunk, n);
      } else {
        const float of_chunk = kind_ == Kind::max ? table_.max(chunk, n) : table_.min(chunk, n);
        better_(&best, &of_chunk, nullptr, &best, 1);
      }
    }
    return is_sum() ? static_cast<float>(sum / divisor()) : best;
  }

  void columns(const float* x, std::int64_t first, std::int64_t count, float* made) const noexcept {
    std::array<float, kOutputs> room;
    std::array<double, kOutputs> sums{};
    const auto n = static_cast<std::size_t>(count);
    std::copy_n(gather(outer_, x, first, count, room.data()), count, made);
    reduced_.runs(0, reduced_.count(), [&](std::int64_t offset, std::int64_t, std::int64_t length) {
      for (std::int64_t i = 0; i < length; ++i) {
        const float* at = gather(outer_, x + offset + i * reduced_.inner_stride(), first, count, room.data());
        if (is_sum()) {
          table_.accumulate(at, sums.data(), n);
        } else {
          better_(made, at, nullptr, made, n);
        }
      }
    });
    if (!is_sum()) return;
    for (std::size_t i = 0; i < n; ++i) made[i] = static_cast<float>(sums[i] / divisor());
  }

  Operand x_, y_;
  Kind kind_;
  const RowMath& table_;
  Elementwise better_;
  Walk outer_, written_, reduced_;
  bool by_row_ = false;
};

}  // namespace

std::unique_ptr<Kernel> make_reduce(const Problem& problem) { return std::make_unique<Reduce>(problem); }

}  // namespace fewstep::cpu

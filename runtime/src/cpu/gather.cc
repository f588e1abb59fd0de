#include <atomic>
#include <string>

#include "cpu/kernels.h"
#include "cpu/views.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kAlone = 4096;

template <typename T>
class Gather : public Kernel {
 public:
  explicit Gather(const Problem& problem)
      : table_(problem.inputs[0]), indices_(problem.inputs[1]), y_(problem.outputs[0]), name_(problem.op.name) {
    const std::size_t rank = indices_.value->shape.size();
    which_ = walk_of(*indices_.value, 0, rank);
    row_ = walk_of(*table_.value, 1, table_.value->shape.size());
    outer_ = walk_of(*y_.value, 0, rank);
    inner_ = walk_of(*y_.value, rank, y_.value->shape.size());
  }

  bool alone() const noexcept override { return which_.count() * row_.count() <= kAlone; }

  std::string take_fault() override {
    if (!is_refused_.exchange(false)) return {};
    return "gather " + name_ + ": an index must be from 0 to " + std::to_string(table_.value->shape[0] - 1) + ", got " +
           std::to_string(refused_.load());
  }

  void run(Moment moment, int, int thread, int threads) noexcept override {
    const auto* indices = indices_.at<const std::int64_t>(moment);
    const Share share = share_of(which_.count(), thread, threads);
    for (std::int64_t i = share.first; i < share.last; ++i) {
      const std::int64_t index = indices[which_.offset(i)];
      const bool is_row = index >= 0 && index < table_.value->shape[0];
      if (!is_row) {
        refused_ = index;
        is_refused_ = true;
      }
      const T* from = is_row ? table_.at<const T>(moment) + index * table_.value->strides[0] : nullptr;
      copy(from, y_.at<T>(moment) + outer_.offset(i));
    }
  }

 private:
  void copy(const T* from, T* to) const noexcept {
    inner_.runs(0, inner_.count(), [&](std::int64_t offset, std::int64_t done, std::int64_t length) {
      T* y = to + offset;
      const std::int64_t stride = inner_.inner_stride();
      if (from == nullptr) {
        for (std::int64_t k = 0; k < length; ++k) y[k * stride] = T{};
        return;
      }
      row_.runs(done, length, [&](std::int64_t at, std::int64_t before, std::int64_t run) {
        for (std::int64_t k = 0; k < run; ++k) y[(before + k) * stride] = from[at + k * row_.inner_stride()];
      });
    });
  }

  Operand table_, indices_, y_;
  std::string name_;
  Walk which_, row_, outer_, inner_;
  std::atomic<bool> is_refused_ = false;
  std::atomic<std::int64_t> refused_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> make_gather(const Problem& problem) {
  switch (bytes_of(problem.outputs[0].value->dtype)) {
    case 8:
      return std::make_unique<Gather<std::uint64_t>>(problem);
    case 4:
      return std::make_unique<Gather<std::uint32_t>>(problem);
    default:
      return std::make_unique<Gather<std::uint8_t>>(problem);
  }
}

}  // namespace fewstep::cpu

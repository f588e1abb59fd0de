#include <vector>

#include "cpu/kernels.h"
#include "cpu/row_math.h"
#include "cpu/row_view.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kAlone = 2048;

class Softmax : public Kernel {
 public:
  explicit Softmax(const Problem& problem)
      : table_(row_math(problem.isa)), x_(problem.inputs[0]), y_(problem.outputs[0]) {
    room_.resize(static_cast<std::size_t>(problem.threads) * size());
  }

  std::size_t scratch() const noexcept override { return room_.size() * sizeof(float); }
  bool alone() const noexcept override { return x_.outer.count() * x_.inner.count() <= kAlone; }

  void run(Moment moment, int, int thread, int threads) noexcept override {
    float* room = &room_[static_cast<std::size_t>(thread) * size()];
    const Share share = share_of(x_.outer.count(), thread, threads);
    for (std::int64_t row = share.first; row < share.last; ++row) {
      const float* x = x_.read(moment, row, room);
      float* y = y_.begin(moment, row, room);
      const double sum = table_.exponentials(x, table_.max(x, size()), y, size());
      table_.times(y, static_cast<float>(1 / sum), y, size());
      y_.finish(moment, row, y);
    }
  }

 private:
  std::size_t size() const noexcept { return static_cast<std::size_t>(x_.inner.count()); }

  const RowMath& table_;
  RowView x_, y_;
  std::vector<float> room_;
};

}  // namespace

std::unique_ptr<Kernel> make_softmax(const Problem& problem) { return std::make_unique<Softmax>(problem); }

}  // namespace fewstep::cpu

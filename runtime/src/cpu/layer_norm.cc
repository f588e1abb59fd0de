#include <cmath>
#include <vector>

#include "cpu/attributes.h"
#include "cpu/kernels.h"
#include "cpu/row_math.h"
#include "cpu/row_view.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kAlone = 2048;

// Two passes over a row in the first cache: its mean, then its moments about it, by which the mean is corrected.
class LayerNorm : public Kernel {
 public:
  explicit LayerNorm(const Problem& problem)
      : table_(row_math(problem.isa)),
        eps_(real_attribute(problem.op, "eps")),
        centred_(problem.op.kind == "layer_norm") {
    x_ = RowView(problem.inputs[0]);
    weight_ = RowView(problem.inputs[1]);
    bias_ = RowView(problem.inputs[2]);
    scale_ = RowView(problem.inputs[3]);
    shift_ = RowView(problem.inputs[4]);
    y_ = RowView(problem.outputs[0]);
    room_.resize(static_cast<std::size_t>(problem.threads) * kRooms * size());
  }

  std::size_t scratch() const noexcept override { return room_.size() * sizeof(float); }
  bool alone() const noexcept override { return x_.outer.count() * x_.inner.count() <= kAlone; }

  void run(Moment moment, int, int thread, int threads) noexcept override {
    float* room = &room_[static_cast<std::size_t>(thread) * kRooms * size()];
    const auto at = [&](std::size_t k) { return room + k * size(); };
    const float* weight = weight_.read(moment, 0, at(1));
    const float* bias = bias_.read(moment, 0, at(2));
    const Share share = share_of(x_.outer.count(), thread, threads);
    for (std::int64_t row = share.first; row < share.last; ++row) {
      const float* x = x_.read(moment, row, at(0));
      const float* scale = scale_.read(moment, row, at(3));
      const float* shift = shift_.read(moment, row, at(4));
      float* y = y_.begin(moment, row, at(5));
      normalise(x, weight, bias, scale, shift, y);
      y_.finish(moment, row, y);
    }
  }

 private:
  static constexpr std::size_t kRooms = 6;

  std::size_t size() const noexcept { return static_cast<std::size_t>(x_.inner.count()); }

  void normalise(const float* x, const float* weight, const float* bias, const float* scale, const float* shift,
                 float* y) const noexcept {
    const auto count = static_cast<double>(size());
    const float pivot = centred_ ? static_cast<float>(table_.sum(x, size()) / count) : 0.0f;
    double moments[2];
    table_.moments(x, size(), pivot, moments);
    const double correction = centred_ ? moments[0] / count : 0.0;
    const double variance = moments[1] / count - correction * correction;
    table_.normalise(x, weight, bias, scale, shift, y, size(), pivot, static_cast<float>(correction),
                     static_cast<float>(1 / std::sqrt(variance + eps_)));
  }

  const RowMath& table_;
  double eps_;
  bool centred_;
  RowView x_, weight_, bias_, scale_, shift_, y_;
  std::vector<float> room_;
};

}  // namespace

std::unique_ptr<Kernel> make_layer_norm(const Problem& problem) { return std::make_unique<LayerNorm>(problem); }

}  // namespace fewstep::cpu

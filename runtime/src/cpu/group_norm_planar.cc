#include <algorithm>
#include <array>

#include "cpu/channel_math.h"
#include "cpu/elementwise.h"
#include "cpu/group_norm.h"
#include "cpu/row_math.h"
#include "cpu/views.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kTile = 1024;
constexpr std::int64_t kAlone = 2048;

struct Planes {
  Operand operand;
  Walk walk;

  explicit Planes(const Operand& x) : operand(x) {
    if (x) walk = walk_of(*x.value, 2, x.value->shape.size());
  }
  explicit operator bool() const noexcept { return static_cast<bool>(operand); }
  float* at(Moment moment, std::int64_t b, std::int64_t c) const noexcept {
    return operand.at<float>(moment) + b * operand.value->strides[0] + c * operand.value->strides[1];
  }
};

// A group of an image is one thread's: mean, moments about it, and the result, in three passes over its channels.
class PlanarNorm : public Kernel {
 public:
  explicit PlanarNorm(const Problem& problem)
      : norm_(problem),
        rows_(row_math(problem.isa)),
        channels_(channel_math(problem.isa)),
        add_(elementwise(problem.isa, Operator::add)),
        x_(norm_.x),
        residual_(norm_.residual),
        y_(norm_.y),
        sum_(norm_.sum) {}

  std::string choice() const override { return "planes"; }
  bool alone() const noexcept override { return norm_.batch * norm_.channels * norm_.pixels <= kAlone; }

  void run(Moment moment, int, int thread, int threads) noexcept override {
    const Share share = share_of(norm_.batch * norm_.groups, thread, threads);
    for (std::int64_t unit = share.first; unit < share.last; ++unit) {
      group(moment, unit / norm_.groups, unit % norm_.groups * norm_.of_group());
    }
  }

 private:
  using Tile = std::array<float, kTile>;

  void group(Moment moment, std::int64_t b, std::int64_t first) noexcept {
    double sum = 0;
    each_tile(moment, b, first, [&](std::int64_t c, std::int64_t p, std::int64_t n, const float* v) {
      sum += rows_.sum(v, static_cast<std::size_t>(n));
      if (sum_) scatter(sum_.walk, v, sum_.at(moment, b, c), p, n);
    });
    const auto count = static_cast<double>(norm_.of_group() * norm_.pixels);
    const auto pivot = static_cast<float>(sum / count);
    double off = 0, squares = 0;
    each_tile(moment, b, first, [&](std::int64_t, std::int64_t, std::int64_t n, const float* v) {
      double moments[2];
      rows_.moments(v, static_cast<std::size_t>(n), pivot, moments);
      off += moments[0];
      squares += moments[1];
    });
    const double mean = pivot + off / count, inverse = norm_.inverse((squares - off * off / count) / count);
    each_tile(moment, b, first, [&](std::int64_t c, std::int64_t p, std::int64_t n, const float* v) {
      const auto [centre, factor, offset] = norm_.affine(moment, b, c, mean, inverse);
      Tile room;
      float* to = dense(y_.walk, y_.at(moment, b, c), p, n);
      float* y = to != nullptr ? to : room.data();
      channels_.apply_row(v, centre, factor, offset, norm_.activation, y, static_cast<std::size_t>(n));
      if (to == nullptr) scatter(y_.walk, y, y_.at(moment, b, c), p, n);
    });
  }

  // visit(channel, first pixel, pixels, x + residual of them)
  template <typename Visit>
  void each_tile(Moment moment, std::int64_t b, std::int64_t first, Visit&& visit) const noexcept {
    Tile room_x, room_r;
    for (std::int64_t c = first; c < first + norm_.of_group(); ++c) {
      for (std::int64_t p = 0; p < norm_.pixels; p += kTile) {
        const std::int64_t n = std::min(kTile, norm_.pixels - p);
        const float* v = gather(x_.walk, x_.at(moment, b, c), p, n, room_x.data());
        if (residual_) {
          const float* r = gather(residual_.walk, residual_.at(moment, b, c), p, n, room_r.data());
          add_(v, r, nullptr, room_x.data(), static_cast<std::size_t>(n));
          v = room_x.data();
        }
        visit(c, p, n, v);
      }
    }
  }

  GroupNorm norm_;
  const RowMath& rows_;
  const ChannelMath& channels_;
  Elementwise add_;
  Planes x_, residual_, y_, sum_;
};

}  // namespace

std::unique_ptr<Kernel> make_planar_norm(const Problem& problem) { return std::make_unique<PlanarNorm>(problem); }

}  // namespace fewstep::cpu

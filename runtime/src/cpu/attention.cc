#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/attention_math.h"
#include "cpu/attributes.h"
#include "cpu/kernels.h"
#include "cpu/row_math.h"
#include "cpu/views.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kQueries = 128;   // of a unit
constexpr std::int64_t kLine = 16;       // floats of a cache line
constexpr std::int64_t kKeys = 128;      // of a tile, at most
constexpr std::int64_t kTile = 1 << 14;  // floats of a tile of keys, at most
constexpr float kInf = std::numeric_limits<float>::infinity();

std::int64_t padded(std::int64_t count, std::int64_t to) { return (count + to - 1) / to * to; }

// A (B, H, N, D) view.
struct Heads {
  Operand operand;

  explicit operator bool() const noexcept { return static_cast<bool>(operand); }
  std::int64_t size(std::size_t axis) const noexcept { return operand.value->shape[axis]; }
  std::int64_t stride(std::size_t axis) const noexcept { return operand.value->strides[axis]; }
  float* at(Moment moment, std::int64_t b, std::int64_t h, std::int64_t n) const noexcept {
    return operand.at<float>(moment) + b * stride(0) + h * stride(1) + n * stride(2);
  }
};

// Some queries of a head at a time, over tiles of keys, with the softmax's maximum and sum carried along:
// Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
class Attention : public Kernel {
 public:
  explicit Attention(const Problem& problem)
      : math_(attention_math(problem.isa)),
        rows_(row_math(problem.isa)),
        q_{problem.inputs[0]},
        k_{problem.inputs[1]},
        v_{problem.inputs[2]},
        mask_{problem.inputs[3]},
        y_{problem.outputs[0]},
        scale_(static_cast<float>(real_attribute(problem.op, "scale"))),
        causal_(attribute<std::int64_t>(problem.op, "causal") != 0),
        depth_(q_.size(3)),
        keys_(k_.size(2)) {
    queries_ = std::min(kQueries, q_.size(2));
    const std::int64_t fitting = std::max(math_.lanes, kTile / depth_ / math_.lanes * math_.lanes);
    tile_ = std::min({kKeys, fitting, padded(keys_, math_.lanes)});
    width_ = padded(depth_, math_.lanes);
    blocks_ = (q_.size(2) + queries_ - 1) / queries_;
    room_ = queries_ * (depth_ + tile_ + width_ + 2) + tile_ * (depth_ + width_);
    scratch_.resize(static_cast<std::size_t>(problem.threads * room_));
  }

  std::size_t scratch() const noexcept override { return scratch_.size() * sizeof(float); }

  void run(Moment moment, int, int thread, int threads) noexcept override {
    Unit unit{moment, 0, 0, 0, 0, &scratch_[static_cast<std::size_t>(thread * room_)]};
    const std::int64_t heads = q_.size(1);
    const Share share = share_of(q_.size(0) * heads * blocks_, thread, threads);
    for (std::int64_t index = share.first; index < share.last; ++index) {
      unit.b = index / blocks_ / heads;
      unit.h = index / blocks_ % heads;
      unit.first = index % blocks_ * queries_;
      unit.count = std::min(queries_, q_.size(2) - unit.first);
      attend(unit);
    }
  }

 private:
  struct Unit {
    Moment moment;
    std::int64_t b, h, first, count;  // queries
    float* room;
  };

  float* queries(const Unit& u) const noexcept { return u.room; }
  float* logits(const Unit& u) const noexcept { return queries(u) + queries_ * depth_; }
  float* sums(const Unit& u) const noexcept { return logits(u) + queries_ * tile_; }
  float* keys(const Unit& u) const noexcept { return sums(u) + queries_ * width_; }
  float* values(const Unit& u) const noexcept { return keys(u) + tile_ * depth_; }
  float* largest(const Unit& u) const noexcept { return values(u) + tile_ * width_; }
  float* weight(const Unit& u) const noexcept { return largest(u) + queries_; }

  void attend(const Unit& u) const noexcept {
    load_queries(u);
    std::fill_n(largest(u), queries_, -kInf);
    std::fill_n(weight(u), queries_, 0.0f);
    const std::int64_t last = causal_ ? std::min(keys_, u.first + u.count) : keys_;
    for (std::int64_t first = 0; first < last; first += tile_) {
      const std::int64_t count = std::min(tile_, last - first);
      load_keys(u, first, count);
      math_.product(queries(u), depth_, keys(u), tile_, logits(u), tile_, u.count, padded(count, math_.lanes), depth_,
                    false);
      for (std::int64_t i = 0; i < u.count; ++i) soften(u, i, first, count);
      math_.product(logits(u), tile_, values(u), width_, sums(u), width_, u.count, width_, count, first > 0);
    }
    store(u);
  }

  void load_queries(const Unit& u) const noexcept {
    for (std::int64_t i = 0; i < u.count; ++i) {
      const float* from = q_.at(u.moment, u.b, u.h, u.first + i);
      float* to = queries(u) + i * depth_;
      for (std::int64_t d = 0; d < depth_; ++d) to[d] = from[d * q_.stride(3)] * scale_;
    }
  }

  // Keys with their axes exchanged, values as they are, both with zeros up to whole vectors.
  void load_keys(const Unit& u, std::int64_t first, std::int64_t count) const noexcept {
    const std::int64_t g = u.h / (q_.size(1) / k_.size(1)), columns = padded(count, math_.lanes);
    const std::int64_t of_key = k_.stride(2), of_depth = k_.stride(3);
    for (std::int64_t j = 0; j < count; j += kLine) {
      const float* from = k_.at(u.moment, u.b, g, first + j);
      const std::int64_t several = std::min(kLine, count - j);
      for (std::int64_t d = 0; d < depth_; ++d) {
        float* to = keys(u) + d * tile_ + j;
        for (std::int64_t i = 0; i < several; ++i) to[i] = from[i * of_key + d * of_depth];
      }
    }
    for (std::int64_t d = 0; d < depth_; ++d)
      std::fill(keys(u) + d * tile_ + count, keys(u) + d * tile_ + columns, 0.0f);
    for (std::int64_t j = 0; j < count; ++j) {
      const float* from = v_.at(u.moment, u.b, g, first + j);
      float* to = values(u) + j * width_;
      for (std::int64_t d = 0; d < depth_; ++d) to[d] = from[d * v_.stride(3)];
      std::fill(to + depth_, to + width_, 0.0f);
    }
  }

  // One query's logits of a tile become weights; what was summed before is brought to the new maximum.
  void soften(const Unit& u, std::int64_t i, std::int64_t first, std::int64_t count) const noexcept {
    float* row = logits(u) + i * tile_;
    if (mask_) {
      const float* mask = mask_.at(u.moment, u.b, u.h, u.first + i) + first * mask_.stride(3);
      for (std::int64_t j = 0; j < count; ++j) row[j] += mask[j * mask_.stride(3)];
    }
    if (causal_) {
      for (std::int64_t j = std::max<std::int64_t>(0, u.first + i + 1 - first); j < count; ++j) row[j] = -kInf;
    }
    float &most = largest(u)[i], &total = weight(u)[i];
    const float of_tile = rows_.max(row, static_cast<std::size_t>(count)), before = most;
    most = of_tile > most || std::isnan(of_tile) ? of_tile : most;
    const float shift = most == -kInf ? 0.0f : most;
    const auto sum = static_cast<float>(rows_.exponentials(row, shift, row, static_cast<std::size_t>(count)));
    if (first == 0) {
      total = sum;
      return;
    }
    const float factor = std::exp(before - shift);
    total = total * factor + sum;
    float* of_query = sums(u) + i * width_;
    if (factor != 1.0f) rows_.times(of_query, factor, of_query, static_cast<std::size_t>(width_));
  }

  void store(const Unit& u) const noexcept {
    for (std::int64_t i = 0; i < u.count; ++i) {
      float *from = sums(u) + i * width_, *to = y_.at(u.moment, u.b, u.h, u.first + i);
      const float total = weight(u)[i];  // 0 where no key counts
      rows_.times(from, total == 0.0f ? 0.0f : 1.0f / total, from, static_cast<std::size_t>(width_));
      for (std::int64_t d = 0; d < depth_; ++d) to[d * y_.stride(3)] = from[d];
    }
  }

  const AttentionMath& math_;
  const RowMath& rows_;
  Heads q_, k_, v_, mask_, y_;
  float scale_;
  bool causal_;
  std::int64_t depth_, keys_;
  std::int64_t queries_, tile_, width_, blocks_, room_;
  std::vector<float> scratch_;
};

}  // namespace

std::unique_ptr<Kernel> make_attention(const Problem& problem) { return std::make_unique<Attention>(problem); }

}  // namespace fewstep::cpu

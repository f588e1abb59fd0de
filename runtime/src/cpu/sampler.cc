#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/views.h"
#include "fewstep/noise.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kTile = 512;  // elements of one image, a whole number of Philox blocks

using Tile = std::array<float, kTile>;

// One image's elements in the order of its noise; the batch is the first axis.
struct Sample {
  Operand operand;
  Walk walk;
  std::int64_t batch = 0;

  Sample() = default;
  explicit Sample(const Operand& x) : operand(x) {
    if (!x) return;
    walk = walk_of(*x.value, 1, x.value->shape.size());
    batch = x.value->strides[0];
  }

  explicit operator bool() const noexcept { return static_cast<bool>(operand); }
  const float* read(Moment moment, std::int64_t image, std::int64_t first, std::int64_t count,
                    Tile& room) const noexcept {
    return gather(walk, operand.at<const float>(moment) + image * batch, first, count, room.data());
  }
  void write(Moment moment, std::int64_t image, std::int64_t first, std::int64_t count,
             const float* from) const noexcept {
    scatter(walk, from, operand.at<float>(moment) + image * batch, first, count);
  }
};

void noise(const Operand& seeds, Moment moment, std::int64_t image, std::int64_t step, std::int64_t first,
           std::int64_t count, Tile& z) noexcept {
  const auto seed = static_cast<std::uint64_t>(seeds.at<const std::int64_t>(moment)[image * seeds.value->strides[0]]);
  normal({&seed, 1}, static_cast<std::uint32_t>(step), static_cast<std::uint64_t>(first),
         std::span(z).first(static_cast<std::size_t>(count)));
}

// Tiles of all images, one after another.
struct Tiles {
  std::int64_t images = 0, elements = 0, of_image = 0;

  explicit Tiles(const Operand& x) {
    images = x.value->shape[0];
    elements = Sample(x).walk.count();
    of_image = (elements + kTile - 1) / kTile;
  }
  std::int64_t count() const noexcept { return images * of_image; }
  std::int64_t image(std::int64_t tile) const noexcept { return tile / of_image; }
  std::int64_t first(std::int64_t tile) const noexcept { return tile % of_image * kTile; }
  std::int64_t size(std::int64_t tile) const noexcept { return std::min(kTile, elements - first(tile)); }
};

class InitialState : public Kernel {
 public:
  explicit InitialState(const Problem& problem)
      : seeds_(problem.inputs[0]),
        scales_(problem.inputs[1]),
        x_(problem.outputs[0]),
        u_(problem.outputs[1]),
        tiles_(problem.outputs[0]) {}

  void run(Moment moment, int, int thread, int threads) noexcept override {
    const auto* scales = scales_.at<const float>(moment);
    const float init = scales[0], input = scales[scales_.value->strides[0]];
    Tile z;
    const Share share = share_of(tiles_.count(), thread, threads);
    for (std::int64_t tile = share.first; tile < share.last; ++tile) {
      const std::int64_t image = tiles_.image(tile), first = tiles_.first(tile), count = tiles_.size(tile);
      noise(seeds_, moment, image, 0, first, count, z);
      for (std::int64_t i = 0; i < count; ++i) z[static_cast<std::size_t>(i)] *= init;
      x_.write(moment, image, first, count, z.data());
      for (std::int64_t i = 0; i < count; ++i) z[static_cast<std::size_t>(i)] *= input;
      if (u_) u_.write(moment, image, first, count, z.data());
    }
  }

 private:
  Operand seeds_, scales_;
  Sample x_, u_;
  Tiles tiles_;
};

struct Term {
  float factor;
  const float* values;
};

// The terms in their order, each product rounded; those whose factor is 0 are left out, whatever they multiply.
void sum(std::span<const Term> terms, std::int64_t count, Tile& out) noexcept {
  bool is_first = true;
  for (const Term& term : terms) {
    if (term.factor == 0.0f && !(is_first && &term == &terms.back())) continue;
    const Term& used = term.factor == 0.0f ? terms.front() : term;  // all are 0
    for (std::int64_t i = 0; i < count; ++i) {
      const float product = used.factor * used.values[i];
      const auto at = static_cast<std::size_t>(i);
      out[at] = is_first ? product : out[at] + product;
    }
    is_first = false;
  }
}

// Phase 0 makes the tiles, phase 1 the flags.
class SamplerStep : public Kernel {
 public:
  explicit SamplerStep(const Problem& problem)
      : x_(problem.inputs[0]),
        m_(problem.inputs[1]),
        row_(problem.inputs[2]),
        seeds_(problem.inputs[3]),
        noise_(seeds_.value->dtype == Dtype::f32 ? Sample(seeds_) : Sample()),
        m2_(problem.inputs[4]),
        history_(problem.inputs[5]),
        mask_(problem.inputs[6]),
        known_(problem.inputs[7]),
        x_next_(problem.outputs[0]),
        u_(problem.outputs[1]),
        flag_(problem.outputs[2]),
        y_(problem.outputs[3]),
        tiles_(problem.inputs[0]),
        broken_(static_cast<std::size_t>(tiles_.count())) {}

  int phases() const noexcept override { return 2; }

  void run(Moment moment, int phase, int thread, int threads) noexcept override {
    if (phase == 1) {
      if (thread == 0) set_flags(moment);
      return;
    }
    const Share share = share_of(tiles_.count(), thread, threads);
    for (std::int64_t tile = share.first; tile < share.last; ++tile) {
      broken_[static_cast<std::size_t>(tile)] =
          step(moment, tiles_.image(tile), tiles_.first(tile), tiles_.size(tile)) ? 1 : 0;
    }
  }

 private:
  // Whether what it made of u' is not finite somewhere.
  bool step(Moment moment, std::int64_t image, std::int64_t first, std::int64_t count) const noexcept {
    const auto* row = row_.at<const float>(moment);
    const auto at = [&](std::int64_t k) { return row[k * row_.value->strides[0]]; };
    const float a = at(0), b = at(1), c = at(2), p = at(3), q = at(4), d = at(5), e = at(6), r = at(7), s = at(8);
    Tile room_x, room_m, room_m2, room_h, y, z, out;
    const Term x{a, x_.read(moment, image, first, count, room_x)};
    const Term m{b, m_.read(moment, image, first, count, room_m)};
    const Term m2{m2_ ? at(9) : 0.0f, m2_ ? m2_.read(moment, image, first, count, room_m2) : x.values};
    const Term h{history_ ? e : 0.0f, history_ ? history_.read(moment, image, first, count, room_h) : x.values};
    sum(std::array{Term{p, x.values}, Term{q, m.values}, Term{m2_ ? at(10) : 0.0f, m2.values}}, count, y);
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      y[i] = y[i] < -r ? -r : y[i];
      y[i] = y[i] > r ? r : y[i];
    }
    const Term fresh{c, c != 0.0f ? unit_noise(moment, image, first, count, z) : x.values};
    sum(std::array{x, m, m2, Term{d, y.data()}, h, fresh}, count, out);
    if (mask_) keep_known(moment, image, first, count, out);

    x_next_.write(moment, image, first, count, out.data());
    if (y_) y_.write(moment, image, first, count, y.data());
    int broken = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      out[i] *= s;
      broken |= !(std::abs(out[i]) <= std::numeric_limits<float>::max());
    }
    u_.write(moment, image, first, count, out.data());
    return broken != 0;
  }

  const float* unit_noise(Moment moment, std::int64_t image, std::int64_t first, std::int64_t count,
                          Tile& room) const noexcept {
    if (noise_) return noise_.read(moment, image, first, count, room);
    noise(seeds_, moment, image, moment.step + 1, first, count, room);
    return room.data();
  }

  void keep_known(Moment moment, std::int64_t image, std::int64_t first, std::int64_t count, Tile& out) const noexcept {
    Tile room_mask, room_known;
    const float* mask = mask_.read(moment, image, first, count, room_mask);
    const float* known = known_.read(moment, image, first, count, room_known);
    for (std::int64_t i = 0; i < count; ++i) {
      float& x = out[static_cast<std::size_t>(i)];
      const float made = mask[i] * x, kept = (1.0f - mask[i]) * known[i];
      x = made + kept;
    }
  }

  void set_flags(Moment moment) const noexcept {
    if (!flag_) return;
    auto* flag = flag_.at<std::int32_t>(moment);
    for (std::int64_t image = 0; image < tiles_.images; ++image) {
      std::int32_t& of_image = flag[image * flag_.value->strides[0]];
      const auto first = broken_.begin() + image * tiles_.of_image;
      const bool is_broken = std::find(first, first + tiles_.of_image, 1) != first + tiles_.of_image;
      of_image = is_broken || (moment.step > 0 && of_image != 0) ? 1 : 0;
    }
  }

  Sample x_, m_;
  Operand row_, seeds_;
  Sample noise_;  // where it is given in the place of seeds
  Sample m2_, history_, mask_, known_, x_next_, u_;
  Operand flag_;
  Sample y_;
  Tiles tiles_;
  std::vector<std::uint8_t> broken_;
};

}  // namespace

std::unique_ptr<Kernel> make_initial_state(const Problem& problem) { return std::make_unique<InitialState>(problem); }
std::unique_ptr<Kernel> make_sampler_step(const Problem& problem) { return std::make_unique<SamplerStep>(problem); }

}  // namespace fewstep::cpu

#include <algorithm>
#include <numeric>
#include <vector>

#include "cpu/channel_math.h"
#include "cpu/group_norm.h"
#include "cpu/views.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kBlock = 4096;   // floats that stay in the first cache between two passes
constexpr std::int64_t kMaxParts = 64;  // of an image, each with sums of its own
constexpr std::int64_t kSlab = 8192;    // floats of a slab, or the image is cut along its pixels
constexpr std::int64_t kLine = 16;      // floats of a cache line: threads do not write to one line
constexpr std::size_t kRows = 6;        // of a thread's scratch, a float of each channel in each

// An operand as images of pixels at a stride, channels side by side.
struct Pixels {
  Operand operand;
  std::int64_t image = 0, pixel = 0;

  float* at(Moment moment, std::int64_t b, std::int64_t p, std::int64_t c) const noexcept {
    return operand ? operand.at<float>(moment) + b * image + p * pixel + c : nullptr;
  }
};

// Whether x can be seen so.
bool view(const Operand& x, Pixels& pixels) {
  if (!x) return true;
  const Walk walk = walk_of(*x.value, 2, x.value->shape.size());
  pixels = {x, x.value->strides[0], walk.inner_stride()};
  return walk.axes() == 1 && (x.value->strides[1] == 1 || x.value->shape[1] == 1);
}

struct Views {
  Pixels x, residual, y, sum;
};

// What is known of some values of a group: how many, their sum, and their squares' sum about their own mean.
struct Moments {
  double sum = 0, squares = 0;
};

// 1. Small images are cut into slabs of whole groups, one phase: each is normalised by the thread that sums it.
// 2. Large ones are cut along their pixels: sums of each part, then the parts again.
class ChannelsLastNorm : public Kernel {
 public:
  ChannelsLastNorm(const Problem& problem, const Views& views)
      : norm_(problem), views_(views), math_(channel_math(problem.isa)) {
    const std::int64_t least = std::lcm(norm_.of_group(), kLine);
    slab_ = norm_.channels % least == 0 ? least : norm_.channels;
    block_ = std::clamp<std::int64_t>(kBlock / norm_.channels, 1, norm_.pixels);
    const std::int64_t blocks = (norm_.pixels + block_ - 1) / block_;
    block_ = (norm_.pixels + blocks - 1) / blocks;  // as even as can be
    is_cut_ = slab_ * norm_.pixels > kSlab;
    if (is_cut_) slab_ = norm_.channels;
    part_ = is_cut_ ? (blocks + std::min(blocks, kMaxParts) - 1) / std::min(blocks, kMaxParts) * block_ : norm_.pixels;
    parts_ = (norm_.pixels + part_ - 1) / part_;
    slabs_ = norm_.channels / slab_;
    moments_.resize(static_cast<std::size_t>(norm_.batch * parts_ * norm_.groups));
    room_.resize(static_cast<std::size_t>(problem.threads) * kRows * width());
  }

  int phases() const noexcept override { return is_cut_ ? 2 : 1; }
  std::string choice() const override { return is_cut_ ? "pixels" : "slabs"; }
  std::size_t scratch() const noexcept override {
    return room_.size() * sizeof(float) + moments_.size() * sizeof(Moments);
  }

  void run(Moment moment, int phase, int thread, int threads) noexcept override {
    const Room room = room_of(thread);
    const Share share = share_of(norm_.batch * parts_ * slabs_, thread, threads);
    for (std::int64_t unit = share.first; unit < share.last; ++unit) {
      const Part part = part_of(unit);
      if (phase == 0) sum(moment, part, room);
      if (phase == 0 && is_cut_) continue;
      if (!is_cut_ || unit == share.first || part.index == 0) find_affine(moment, part, room);
      normalise(moment, part, room);
    }
  }

 private:
  struct Part {
    std::int64_t image, index, first_pixel, last_pixel, first_channel;
  };
  struct Room {
    float *a, *b, *c, *mean, *factor, *offset;
  };

  std::size_t width() const noexcept { return static_cast<std::size_t>(slab_); }

  Room room_of(int thread) noexcept {
    float* at = &room_[static_cast<std::size_t>(thread) * kRows * width()];
    return {at, at + width(), at + 2 * width(), at + 3 * width(), at + 4 * width(), at + 5 * width()};
  }

  Part part_of(std::int64_t unit) const noexcept {
    const std::int64_t index = unit / slabs_ % parts_, first = index * part_;
    return {unit / slabs_ / parts_, index, first, std::min(norm_.pixels, first + part_), unit % slabs_ * slab_};
  }

  Moments* moments_of(std::int64_t image, std::int64_t part, std::int64_t channel) noexcept {
    return &moments_[static_cast<std::size_t>((image * parts_ + part) * norm_.groups + channel / norm_.of_group())];
  }

  ChannelBlock block_at(Moment moment, const Part& part, std::int64_t pixel, bool has_sum) const noexcept {
    const std::int64_t count = std::min(block_, part.last_pixel - pixel);
    const Pixels& x = has_sum ? views_.sum : views_.x;
    const Pixels none, &residual = has_sum ? none : views_.residual;
    return {x.at(moment, part.image, pixel, part.first_channel),
            residual.at(moment, part.image, pixel, part.first_channel),
            x.pixel,
            residual.pixel,
            count,
            slab_};
  }

  void sum(Moment moment, const Part& part, const Room& room) noexcept {
    const bool has_sum = static_cast<bool>(views_.sum.operand);
    Moments* of_part = moments_of(part.image, part.index, part.first_channel);
    for (std::int64_t pixel = part.first_pixel; pixel < part.last_pixel; pixel += block_) {
      const ChannelBlock block = block_at(moment, part, pixel, false);
      math_.sums(block, views_.sum.at(moment, part.image, pixel, part.first_channel), views_.sum.pixel, room.a);
      const auto count = static_cast<double>(block.pixels * norm_.of_group());
      each_group([&](std::int64_t g, std::int64_t first) {
        std::fill_n(room.b + first, norm_.of_group(), static_cast<float>(total(room.a + first) / count));
        static_cast<void>(g);
      });
      math_.moments(block_at(moment, part, pixel, has_sum), room.b, room.a, room.c);
      each_group([&](std::int64_t g, std::int64_t first) {
        const double off = total(room.a + first), squares = total(room.c + first) - off * off / count;
        const Moments of_block{room.b[first] * count + off, squares};
        const auto before = static_cast<double>((pixel - part.first_pixel) * norm_.of_group());
        of_part[g] = pixel == part.first_pixel ? of_block : joined(of_part[g], before, of_block, count);
      });
    }
  }

  // Chan, Golub and LeVeque: "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
  static Moments joined(const Moments& a, double count_a, const Moments& b, double count_b) noexcept {
    const double apart = b.sum / count_b - a.sum / count_a;
    return {a.sum + b.sum, a.squares + b.squares + apart * apart * count_a * count_b / (count_a + count_b)};
  }

  void find_affine(Moment moment, const Part& part, const Room& room) noexcept {
    each_group([&](std::int64_t g, std::int64_t first) {
      Moments all = moments_of(part.image, 0, part.first_channel)[g];
      auto count = static_cast<double>(pixels_of(0) * norm_.of_group());
      for (std::int64_t other = 1; other < parts_; ++other) {
        const auto more = static_cast<double>(pixels_of(other) * norm_.of_group());
        all = joined(all, count, moments_of(part.image, other, part.first_channel)[g], more);
        count += more;
      }
      const double mean = all.sum / count, inverse = norm_.inverse(all.squares / count);
      for (std::int64_t c = first; c < first + norm_.of_group(); ++c) {
        const auto affine = norm_.affine(moment, part.image, part.first_channel + c, mean, inverse);
        room.mean[c] = affine.mean;
        room.factor[c] = affine.factor;
        room.offset[c] = affine.offset;
      }
    });
  }

  void normalise(Moment moment, const Part& part, const Room& room) noexcept {
    const bool has_sum = static_cast<bool>(views_.sum.operand);
    for (std::int64_t pixel = part.first_pixel; pixel < part.last_pixel; pixel += block_) {
      math_.apply(block_at(moment, part, pixel, has_sum), room.mean, room.factor, room.offset, norm_.activation,
                  views_.y.at(moment, part.image, pixel, part.first_channel), views_.y.pixel);
    }
  }

  std::int64_t pixels_of(std::int64_t part) const noexcept {
    return std::min(norm_.pixels, (part + 1) * part_) - part * part_;
  }

  template <typename Visit>
  void each_group(Visit&& visit) const noexcept {
    for (std::int64_t g = 0; g < slab_ / norm_.of_group(); ++g) visit(g, g * norm_.of_group());
  }

  double total(const float* of_channels) const noexcept {
    double sum = 0;
    for (std::int64_t c = 0; c < norm_.of_group(); ++c) sum += of_channels[c];
    return sum;
  }

  GroupNorm norm_;
  Views views_;
  const ChannelMath& math_;
  bool is_cut_;
  std::int64_t slab_, slabs_, block_, part_, parts_;
  std::vector<Moments> moments_;
  std::vector<float> room_;
};

}  // namespace

std::unique_ptr<Kernel> make_channels_last_norm(const Problem& problem) {
  Views views;
  const bool fits = view(problem.inputs[0], views.x) && view(problem.inputs[5], views.residual) &&
                    view(problem.outputs[0], views.y) && view(problem.outputs[1], views.sum);
  return fits ? std::make_unique<ChannelsLastNorm>(problem, views) : nullptr;
}

}  // namespace fewstep::cpu

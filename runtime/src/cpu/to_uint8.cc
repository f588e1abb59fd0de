#include <algorithm>
#include <array>

#include "cpu/attributes.h"
#include "cpu/kernels.h"
#include "cpu/views.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kTile = 512;
constexpr std::int64_t kAlone = 1024;  // pixels

// Below 2^23 a sum with 2^23 has no fraction: halves go to even. NaN fails every comparison and becomes 0.
inline float level(float x, float scale, float shift) noexcept {
  constexpr float kWhole = 8388608.0f;
  float y = (x * scale + shift + 1.0f) * 127.5f;
  y = y > 0.0f ? y : 0.0f;
  y = y < 255.0f ? y : 255.0f;
  return (y + kWhole) - kWhole;
}

class ToUint8 : public Kernel {
 public:
  explicit ToUint8(const Problem& problem)
      : x_(problem.inputs[0]),
        y_(problem.outputs[0]),
        scale_(static_cast<float>(real_attribute(problem.op, "scale"))),
        shift_(static_cast<float>(real_attribute(problem.op, "shift"))) {
    read_ = walk_of(*x_.value, std::array<std::size_t, 3>{0, 2, 3});
    written_ = walk_of(*y_.value, std::array<std::size_t, 3>{0, 1, 2});
  }

  bool alone() const noexcept override { return read_.count() <= kAlone; }

  void run(Moment moment, int, int thread, int threads) noexcept override {
    const auto* x = x_.at<const float>(moment);
    auto* y = y_.at<std::uint8_t>(moment);
    const std::int64_t channels = x_.value->shape[1];
    const Share share = share_of((read_.count() + kTile - 1) / kTile, thread, threads);
    for (std::int64_t tile = share.first; tile < share.last; ++tile) {
      const std::int64_t first = tile * kTile, count = std::min(kTile, read_.count() - first);
      for (std::int64_t c = 0; c < channels; ++c) {
        convert(x + c * x_.value->strides[1], y + c * y_.value->strides[3], first, count);
      }
    }
  }

 private:
  void convert(const float* x, std::uint8_t* y, std::int64_t first, std::int64_t count) const noexcept {
    std::array<float, kTile> room;
    std::array<std::uint8_t, kTile> made;
    const float* from = gather(read_, x, first, count, room.data());
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      made[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(level(from[i], scale_, shift_)));
    }
    written_.runs(first, count, [&](std::int64_t offset, std::int64_t done, std::int64_t length) {
      for (std::int64_t i = 0; i < length; ++i) {
        y[offset + i * written_.inner_stride()] = made[static_cast<std::size_t>(done + i)];
      }
    });
  }

  Operand x_, y_;
  float scale_, shift_;
  Walk read_, written_;
};

}  // namespace

std::unique_ptr<Kernel> make_to_uint8(const Problem& problem) { return std::make_unique<ToUint8>(problem); }

}  // namespace fewstep::cpu

#include "cpu/channel_math.h"

#include "cpu/simd/activation.h"
#include "cpu/simd/tables.h"

namespace fewstep::cpu::FEWSTEP_ISA {
namespace {

FEWSTEP_INLINE Vec value(const ChannelBlock& block, std::int64_t pixel, std::int64_t channel) {
  const Vec x = load(block.x + pixel * block.stride_x + channel);
  if (block.residual == nullptr) return x;
  return x + load(block.residual + pixel * block.stride_residual + channel);
}

FEWSTEP_INLINE Vec value_part(const ChannelBlock& block, std::int64_t pixel, std::int64_t channel, std::size_t left) {
  const Vec x = load_part(block.x + pixel * block.stride_x + channel, left);
  if (block.residual == nullptr) return x;
  return x + load_part(block.residual + pixel * block.stride_residual + channel, left);
}

// Calls whole.operator()<N>(channel) for N vectors of channels at a time, then part(channel, left).
template <typename Whole, typename Part>
FEWSTEP_INLINE void each_channel(std::int64_t channels, Whole&& whole, Part&& part) {
  std::int64_t c = 0;
  for (; c + 6 * kLanes <= channels; c += 6 * kLanes) whole.template operator()<6>(c);
  for (; c + 2 * kLanes <= channels; c += 2 * kLanes) whole.template operator()<2>(c);
  for (; c + kLanes <= channels; c += kLanes) whole.template operator()<1>(c);
  if (c < channels) part(c, static_cast<std::size_t>(channels - c));
}

void sums(const ChannelBlock& block, float* made, std::int64_t stride_made, float* out) {
  each_channel(
      block.channels,
      [&]<int N>(std::int64_t c) {
        Vec sum[N] = {};
        for (std::int64_t p = 0; p < block.pixels; ++p) {
          for (int k = 0; k < N; ++k) {
            const Vec v = value(block, p, c + k * kLanes);
            if (made != nullptr) store(made + p * stride_made + c + k * kLanes, v);
            sum[k] += v;
          }
        }
        for (int k = 0; k < N; ++k) store(out + c + k * kLanes, sum[k]);
      },
      [&](std::int64_t c, std::size_t left) {
        Vec sum{};
        for (std::int64_t p = 0; p < block.pixels; ++p) {
          const Vec v = value_part(block, p, c, left);
          if (made != nullptr) store_part(made + p * stride_made + c, v, left);
          sum += v;
        }
        store_part(out + c, sum, left);
      });
}

void moments(const ChannelBlock& block, const float* pivot, float* first, float* second) {
  each_channel(
      block.channels,
      [&]<int N>(std::int64_t c) {
        Vec d1[N] = {}, d2[N] = {}, centre[N];
        for (int k = 0; k < N; ++k) centre[k] = load(pivot + c + k * kLanes);
        for (std::int64_t p = 0; p < block.pixels; ++p) {
          for (int k = 0; k < N; ++k) {
            const Vec d = value(block, p, c + k * kLanes) - centre[k];
            d1[k] += d;
            d2[k] += d * d;
          }
        }
        for (int k = 0; k < N; ++k) {
          store(first + c + k * kLanes, d1[k]);
          store(second + c + k * kLanes, d2[k]);
        }
      },
      [&](std::int64_t c, std::size_t left) {
        Vec d1{}, d2{};
        const Vec centre = load_part(pivot + c, left);
        for (std::int64_t p = 0; p < block.pixels; ++p) {
          const Vec d = value_part(block, p, c, left) - centre;
          d1 += d;
          d2 += d * d;
        }
        store_part(first + c, d1, left);
        store_part(second + c, d2, left);
      });
}

template <Activation A>
FEWSTEP_INLINE void apply_to(const ChannelBlock& block, const float* mean, const float* factor, const float* offset,
                             float* y, std::int64_t stride_y) {
  for (std::int64_t p = 0; p < block.pixels; ++p) {
    std::int64_t c = 0;
    for (; c + kLanes <= block.channels; c += kLanes) {
      const Vec d = value(block, p, c) - load(mean + c);
      store(y + p * stride_y + c, activated<A>(d * load(factor + c) + load(offset + c)));
    }
    if (c == block.channels) continue;
    const auto left = static_cast<std::size_t>(block.channels - c);
    const Vec d = value_part(block, p, c, left) - load_part(mean + c, left);
    store_part(y + p * stride_y + c, activated<A>(d * load_part(factor + c, left) + load_part(offset + c, left)), left);
  }
}

template <Activation A>
FEWSTEP_INLINE void apply_to_row(const float* v, float mean, float factor, float offset, float* y, std::size_t n) {
  std::size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, activated<A>((load(v + i) - mean) * factor + offset));
  if (i < n) store_part(y + i, activated<A>((load_part(v + i, n - i) - mean) * factor + offset), n - i);
}

// Calls f.operator()<A>() for the activation.
template <typename F>
FEWSTEP_INLINE void with(Activation activation, F&& f) {
  switch (activation) {
    case Activation::none:
      return f.template operator()<Activation::none>();
    case Activation::silu:
      return f.template operator()<Activation::silu>();
    case Activation::relu:
      return f.template operator()<Activation::relu>();
    case Activation::gelu:
      return f.template operator()<Activation::gelu>();
    case Activation::gelu_tanh:
      return f.template operator()<Activation::gelu_tanh>();
    case Activation::sigmoid:
      return f.template operator()<Activation::sigmoid>();
    case Activation::tanh:
      return f.template operator()<Activation::tanh>();
  }
}

void apply(const ChannelBlock& block, const float* mean, const float* factor, const float* offset,
           Activation activation, float* y, std::int64_t stride_y) {
  with(activation, [&]<Activation A>() { apply_to<A>(block, mean, factor, offset, y, stride_y); });
}

void apply_row(const float* v, float mean, float factor, float offset, Activation activation, float* y, std::size_t n) {
  with(activation, [&]<Activation A>() { apply_to_row<A>(v, mean, factor, offset, y, n); });
}

}  // namespace

extern const ChannelMath kChannelMath = {sums, moments, apply, apply_row};

}  // namespace fewstep::cpu::FEWSTEP_ISA

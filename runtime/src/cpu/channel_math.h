#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/isa.h"
#include "cpu/simd/gemm.h"

namespace fewstep::cpu {

// Some pixels of an image whose channels lie side by side; null operands are left out.
struct ChannelBlock {
  const float *x, *residual;
  std::int64_t stride_x, stride_residual;  // from pixel to pixel
  std::int64_t pixels, channels;
};

// Arithmetic on pixels by channels, and on a row of one channel's pixels. v = x + residual.
struct ChannelMath {
  // sums (channels): of v over the pixels; v is stored to `made` unless that is null.
  void (*sums)(const ChannelBlock& block, float* made, std::int64_t stride_made, float* sums);
  // first, second (channels): sums of d and d^2, d = v - pivot of the channel.
  void (*moments)(const ChannelBlock& block, const float* pivot, float* first, float* second);
  // y = activation(factor (v - mean) + offset), the three of each channel.
  void (*apply)(const ChannelBlock& block, const float* mean, const float* factor, const float* offset,
                Activation activation, float* y, std::int64_t stride_y);
  // The same for one channel, n pixels in a row.
  void (*apply_row)(const float* v, float mean, float factor, float offset, Activation activation, float* y,
                    std::size_t n);
};

const ChannelMath& channel_math(Isa isa) noexcept;

}  // namespace fewstep::cpu

#pragma once

#include <cstdint>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/simd/gemm.h"

namespace fewstep::cpu {

// What both ways of a group norm read: an image (B, C, pixels) and what its channels are multiplied and shifted by.
struct GroupNorm {
  Operand x, weight, bias, scale, shift, residual, y, sum;
  std::int64_t batch, channels, pixels, groups;
  double eps;
  Activation activation;

  explicit GroupNorm(const Problem& problem);

  std::int64_t of_group() const noexcept { return channels / groups; }  // channels

  // y = factor (v - mean) + offset for channel c of image b; given are its group's mean and 1 / sqrt(variance + eps).
  struct Affine {
    float mean, factor, offset;
  };
  Affine affine(Moment moment, std::int64_t b, std::int64_t c, double mean, double inverse) const noexcept;
  double inverse(double variance) const noexcept;
};

// Null unless every image has its channels side by side and its pixels at one stride.
std::unique_ptr<Kernel> make_channels_last_norm(const Problem& problem);
// Any strides: channel by channel.
std::unique_ptr<Kernel> make_planar_norm(const Problem& problem);

}  // namespace fewstep::cpu

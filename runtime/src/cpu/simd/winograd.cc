// Winograd's F(2x2, 3x3): Lavin & Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.

#include "cpu/simd/gemm.h"
#include "cpu/simd/lanes.h"

namespace fewstep::cpu::FEWSTEP_ISA {
namespace {

// B^T d B, where B^T = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1].
template <typename Access>
void input_at(const WinogradInput& input, std::int64_t tile, std::int64_t channel, Access access) {
  Vec half[4][4];
  for (int x = 0; x < 4; ++x) {
    Vec d[4];
    for (int y = 0; y < 4; ++y) d[y] = access.get(input.pixels[(y * 4 + x) * input.pitch + tile] + channel);
    half[0][x] = d[0] - d[2];
    half[1][x] = d[1] + d[2];
    half[2][x] = d[2] - d[1];
    half[3][x] = d[1] - d[3];
  }
  float* to = input.to + tile * input.channels + channel;
  for (int y = 0; y < 4; ++y) {
    const Vec* d = half[y];
    access.put(to + (4 * y + 0) * input.to_pitch, d[0] - d[2]);
    access.put(to + (4 * y + 1) * input.to_pitch, d[1] + d[2]);
    access.put(to + (4 * y + 2) * input.to_pitch, d[2] - d[1]);
    access.put(to + (4 * y + 3) * input.to_pitch, d[1] - d[3]);
  }
}

}  // namespace

void winograd_input(const WinogradInput& input) {
  for (std::int64_t tile = 0; tile < input.tiles; ++tile) {
    std::int64_t c = 0;
    for (; c + kLanes <= input.channels; c += kLanes) input_at(input, tile, c, Full{});
    if (c < input.channels) input_at(input, tile, c, Part{input.channels - c});
  }
}

// A^T m A, where A^T = [1 1 1 0; 0 1 -1 -1].
void winograd_output(const WinogradOutput& output) {
  for (std::int64_t i = 0; i < output.count; i += kLanes) {
    Vec half[2][4];
    for (int x = 0; x < 4; ++x) {
      Vec m[4];
      for (int y = 0; y < 4; ++y) m[y] = load(output.from + (y * 4 + x) * output.from_pitch + i);
      half[0][x] = m[0] + m[1] + m[2];
      half[1][x] = m[1] - m[2] - m[3];
    }
    for (int y = 0; y < 2; ++y) {
      const Vec* m = half[y];
      store(output.to + (2 * y + 0) * output.to_pitch + i, m[0] + m[1] + m[2]);
      store(output.to + (2 * y + 1) * output.to_pitch + i, m[1] - m[2] - m[3]);
    }
  }
}

}  // namespace fewstep::cpu::FEWSTEP_ISA

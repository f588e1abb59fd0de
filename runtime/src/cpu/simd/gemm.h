#pragma once

#include <cstddef>
#include <cstdint>

namespace fewstep::cpu {

enum class Activation : std::uint8_t { none, silu, relu, gelu, gelu_tanh, sigmoid, tanh };

// c (rows, columns) = or += a (rows, taps * depth) b (taps * depth, columns).
//
// 1. Every element is summed over its taps and depth in order, one fused multiply-add after the other, then added to c,
//    so that its bits do not depend on the tile it falls in.
// 2. One cache line is asked for with each row of b, `prefetch_step` floats after the one before.
struct Tile {
  const float* const* a;  // [taps][pitch]: where a row begins for a tap
  std::int64_t pitch, taps, depth;
  std::int64_t offset, step;  // elements: from each pointer in a to the first element, from one element to the next
  const float* b;             // [taps * depth][vectors * lanes]
  const float* prefetch;
  std::int64_t prefetch_step;
  float* c;
  std::int64_t c_pitch;
  bool accumulate;
};

// y = activation((c * scale + bias + embedding + inner) * factor) * gate + outer, where all but c may be null; with
// `glu`, y = (c * scale + bias) * activation(glu * scale + glu_bias) * gate + outer. What differs by row is given as a
// pointer for each row and an offset common to all; a row whose y is null is left out.
struct Finish {
  struct Side {
    const float* const* rows = nullptr;
    std::int64_t offset = 0;
  };
  std::int64_t rows = 0, columns = 0, pitch = 0;
  const float *c = nullptr, *bias = nullptr, *glu = nullptr, *glu_bias = nullptr;
  Side embedding, inner, gate, outer, y;
  float scale = 1, factor = 1;
  Activation activation = Activation::none;
};

// Tiles of Winograd's F(2x2, 3x3), each 4 x 4 pixels of the input and 2 x 2 of the output, transformed.
struct WinogradInput {
  const float* const* pixels;  // [16][pitch]
  std::int64_t pitch, tiles, channels;
  float* to;  // [16][to_pitch], each (tiles, channels)
  std::int64_t to_pitch;
};
struct WinogradOutput {
  const float* from;               // [16][from_pitch]
  std::int64_t from_pitch, count;  // count: a multiple of the lanes
  float* to;                       // [4][to_pitch]
  std::int64_t to_pitch;
};

// What one build of src/cpu/simd has for products.
struct Gemm {
  std::int64_t lanes, vectors;  // the widest tile has vectors * lanes columns
  std::int64_t rows[3];         // of a tile of one, two and three vectors
  std::int64_t widest_rows;     // of a tile of that many
  void (*product)(const Tile& tile, std::int64_t rows, std::int64_t vectors);
  void (*finish)(const Finish& finish);
  void (*winograd_input)(const WinogradInput& input);
  void (*winograd_output)(const WinogradOutput& output);
};

namespace portable {
extern const Gemm kGemm;
}
namespace avx2 {
extern const Gemm kGemm;
}
namespace avx512 {
extern const Gemm kGemm;
}

}  // namespace fewstep::cpu

#include <algorithm>
#include <numeric>

#include "cpu/convolution.h"
#include "cpu/floats.h"
#include "cpu/panels.h"
#include "cpu/tiles.h"

namespace fewstep::cpu {
namespace {

constexpr int kPoints = 16;               // of a transformed tile
constexpr std::int64_t kBlockTiles = 16;  // whose products lie in the first cache until they are transformed back
constexpr std::int64_t kCachedFloats = 1 << 18;  // of the weights: they stay near while blocks of tiles go by
constexpr std::int64_t kFarFloats = 1 << 22;     // of the transformed input: beyond them it would go through memory
constexpr std::int64_t kMostFloats = 16 << 20;   // of the weights: a bound on memory

Grid tiles_of(const Convolution& conv, Grid grid, std::int64_t taps) {
  grid.y.count = (conv.rows + 1) / 2, grid.x.count = (conv.columns + 1) / 2;
  grid.y.taps = grid.x.taps = taps;
  grid.y.step = grid.x.step = 2;
  return grid;
}

Grid output_tiles(const Convolution& conv, const Value& value) {
  Grid grid = tiles_of(conv, conv.output(value), 2);
  grid.y.limit = conv.rows, grid.x.limit = conv.columns;
  return grid;
}

std::int64_t count_tiles(const Convolution& conv) {
  return conv.batch * ((conv.rows + 1) / 2) * ((conv.columns + 1) / 2);
}

// Measured: at 64 x 64 pixels and 320 channels 1.5 times faster than by phases, at 4 x 4 and 192 slower.
bool is_by_blocks(const Convolution& conv) {
  return kPoints * conv.channels * conv.outputs <= kCachedFloats ||
         kPoints * count_tiles(conv) * conv.channels > kFarFloats;
}

// A 3 x 3 convolution as 16 products of a quarter of its pixels: 2.25 times fewer multiplications.
//
// By blocks: a few tiles are transformed, multiplied, transformed back and finished before the next. Else phase 0
// transforms the input, which is 4 times as large then, and phase 1 does the rest by panels of channels, each of whose
// weights are read once.
class WinogradConv2d final : public Kernel {
 public:
  explicit WinogradConv2d(const Convolution& conv)
      : weight_(conv.weight),
        gemm_(conv.gemm),
        channels_(conv.channels),
        tiles_(count_tiles(conv)),
        block_(std::min(kBlockTiles, tiles_)),
        by_blocks_(is_by_blocks(conv)),
        zeros_(conv.channels, 0.0f),
        weights_(conv.gemm, conv.channels, conv.outputs, kPoints) {
    const int threads = conv.problem.threads;
    const std::int64_t columns = gemm_.vectors * gemm_.lanes;
    const auto items = [&] { return blocks() * (by_blocks_ ? 1 : weights_.count()); };
    while (block_ > gemm_.widest_rows && (items() + threads - 1) / threads * threads * 8 > items() * 9)
      block_ = (block_ + 1) / 2;
    thread_floats_ = (kPoints + 4) * block_ * columns;
    products_ = Floats(threads * thread_floats_);
    const std::int64_t tiles = by_blocks_ ? block_ : tiles_;  // that are transformed before they are multiplied
    pitch_ = tiles * channels_ + 16;  // no power of two, lest the 16 streams fall on the same cache lines
    transformed_ = Floats(kPoints * pitch_ * (by_blocks_ ? threads : 1));
    input_ = Rows(conv.x, tiles_of(conv, conv.input(), 4), zeros_.get(), tiles, threads);
    for (std::int64_t room = 0; room < (by_blocks_ ? threads : 1); ++room) {
      for (std::int64_t t = 0; t < tiles; ++t) {
        rows_.push_back(transformed_.get() + room * kPoints * pitch_ + t * channels_);
      }
    }
    conv.finish(epilogue_, {0}, output_tiles, block_, columns);
    transform_weights();
  }

  int phases() const noexcept override { return by_blocks_ ? 1 : 2; }
  std::string choice() const override { return "winograd 2x2"; }
  std::size_t scratch() const noexcept override {
    return transformed_.bytes() + weights_.bytes() + products_.bytes() + epilogue_.scratch();
  }

  void repack() noexcept override { transform_weights(); }
  void run(Moment moment, int phase, int thread, int threads) noexcept override {
    if (by_blocks_) return run_blocks(moment, thread, threads);
    if (phase == 0) {
      const std::int64_t first = tiles_ * thread / threads, count = tiles_ * (thread + 1) / threads - first;
      return transform(moment, first, count, first, thread);
    }
    const std::int64_t items = blocks() * weights_.count();
    std::int64_t last = -1;
    Epilogue::Block targets;
    for (std::int64_t item = items * thread / threads; item < items * (thread + 1) / threads; ++item) {
      const std::int64_t block = item % blocks(), first = block * block_;
      if (block != last) targets = epilogue_.block(moment, first, std::min(block_, tiles_ - first), thread);
      last = block;
      multiply(moment, first, targets, item / blocks(), thread);
    }
  }

 private:
  std::int64_t blocks() const noexcept { return (tiles_ + block_ - 1) / block_; }

  void run_blocks(Moment moment, int thread, int threads) noexcept {
    for (std::int64_t block = blocks() * thread / threads; block < blocks() * (thread + 1) / threads; ++block) {
      const std::int64_t first = block * block_, count = std::min(block_, tiles_ - first), row = thread * block_;
      transform(moment, first, count, row, thread);
      const Epilogue::Block targets = epilogue_.block(moment, first, count, thread);
      for (std::int64_t panel = 0; panel < weights_.count(); ++panel) multiply(moment, row, targets, panel, thread);
    }
  }

  void transform(Moment moment, std::int64_t first, std::int64_t count, std::int64_t row, int thread) noexcept {
    const Rows::Block pixels = input_.block(moment, first, count, thread);
    float* to = const_cast<float*>(rows_[static_cast<std::size_t>(row)]);
    gemm_.winograd_input({pixels.at, pixels.pitch, count, channels_, to, pitch_});
  }

  void multiply(Moment moment, std::int64_t row, const Epilogue::Block& targets, std::int64_t panel,
                int thread) noexcept {
    const std::int64_t width = weights_.width(panel), floats = targets.rows * width;
    float* products = products_.get() + thread * thread_floats_;
    float* pixels = products + kPoints * block_ * gemm_.vectors * gemm_.lanes;
    Tile tile{.a = nullptr,
              .pitch = by_blocks_ ? block_ : tiles_,
              .taps = 1,
              .depth = channels_,
              .offset = 0,
              .step = 1,
              .b = nullptr,
              .prefetch = nullptr,
              .prefetch_step = 0,
              .c = nullptr,
              .c_pitch = width,
              .accumulate = false};
    for (int point = 0; point < kPoints; ++point) {
      tile.offset = point * pitch_;
      tile.b = weights_.at(point, panel);
      tile.a = rows_.data() + row;
      tile.c = products + point * floats;
      multiply_rows(gemm_, tile, targets.rows, weights_[panel].vectors, weights_.at((point + 1) % kPoints, panel));
    }
    gemm_.winograd_output({products, floats, floats, pixels, floats});
    for (int pixel = 0; pixel < 4; ++pixel) {
      epilogue_.run(moment, targets, pixel, 0, weights_[panel].first, weights_[panel].columns, pixels + pixel * floats,
                    nullptr, width, gemm_, thread);
    }
  }

  // G g G^T, where G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1].
  void transform_weights() noexcept {
    for (std::int64_t panel = 0; panel < weights_.count(); ++panel) {
      for (std::int64_t c = 0; c < channels_; ++c) {
        for (std::int64_t n = 0; n < weights_[panel].columns; ++n) transform_weight(panel, c, n);
      }
    }
  }

  // Of one channel of the input and a column of a panel.
  void transform_weight(std::int64_t panel, std::int64_t c, std::int64_t n) noexcept {
    const std::vector<std::int64_t>& strides = weight_.value->strides;
    const float* g = weight_.at<float>({}) + (weights_[panel].first + n) * strides[0] + c * strides[1];
    double half[4][3];
    for (int x = 0; x < 3; ++x) {
      const double a = g[x * strides[3]], b = g[strides[2] + x * strides[3]], d = g[2 * strides[2] + x * strides[3]];
      half[0][x] = a, half[1][x] = (a + b + d) / 2, half[2][x] = (a - b + d) / 2, half[3][x] = d;
    }
    for (int y = 0; y < 4; ++y) {
      const double a = half[y][0], b = half[y][1], d = half[y][2];
      const double row[4] = {a, (a + b + d) / 2, (a - b + d) / 2, d};
      for (int x = 0; x < 4; ++x) {
        weights_.at(y * 4 + x, panel)[c * weights_.width(panel) + n] = static_cast<float>(row[x]);
      }
    }
  }

  const Operand& weight_;
  const Gemm& gemm_;
  std::int64_t channels_, tiles_, block_, pitch_ = 0, thread_floats_ = 0;
  bool by_blocks_;
  Floats zeros_, transformed_, products_;
  Panels weights_;
  Rows input_;
  std::vector<const float*> rows_;  // of the transformed input's first point
  Epilogue epilogue_;
};

}  // namespace

// A rule and no measurement, so that a plan gives the same bits whenever it is loaded. Measured: from 4 tiles on it is
// faster, 1.8 times at 192 channels and 4 x 4 pixels, though its weights are 16 / 9 as large.
bool fits_winograd(const Convolution& conv) noexcept {
  const std::int64_t tiles = count_tiles(conv);
  return conv.kernel_y == 3 && conv.kernel_x == 3 && conv.stride_y == 1 && conv.stride_x == 1 && conv.dilation_y == 1 &&
         conv.dilation_x == 1 && conv.groups == 1 && conv.x.value->strides[1] == 1 && conv.channels >= 16 &&
         tiles >= 4 && kPoints * conv.outputs * conv.channels <= kMostFloats;
}

std::unique_ptr<Kernel> make_winograd(const Convolution& convolution) {
  return std::make_unique<WinogradConv2d>(convolution);
}

}  // namespace fewstep::cpu

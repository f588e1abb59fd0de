#include "cpu/epilogue.h"

namespace fewstep::cpu {
namespace {

constexpr int kSides = 5;
constexpr int kY = 4;

}  // namespace

void Epilogue::prepare(std::int64_t rows, std::int64_t columns, int threads) {
  rows_ = rows;
  columns_ = columns;
  const std::int64_t all = (rows * kSides + 2) * threads;
  dense_ = Floats(all * columns);
  for (std::int64_t i = 0; i < all; ++i) dense_rows_.push_back(dense_.get() + i * columns);
}

Epilogue::Block Epilogue::block(Moment moment, std::int64_t first, std::int64_t rows, int thread) noexcept {
  return {rows,
          embedding.rows.block(moment, first, rows, thread),
          inner.rows.block(moment, first, rows, thread),
          gate.rows.block(moment, first, rows, thread),
          outer.rows.block(moment, first, rows, thread),
          y.rows.block(moment, first, rows, thread)};
}

Finish::Side Epilogue::side(const Side& side, const Rows::Block& block, std::int64_t tap, std::int64_t rows,
                            std::int64_t sheet, std::int64_t first, std::int64_t columns, int slot,
                            int thread) noexcept {
  if (block.at == nullptr) return {};
  const float* const* at = block.at + tap * block.pitch;
  const std::int64_t offset = side.sheets[static_cast<std::size_t>(sheet)] + first * side.step;
  if (side.step == 1) return {at, offset};
  const std::int64_t place = ((rows_ * kSides + 2) * thread + rows_ * slot);
  if (slot != kY) {
    for (std::int64_t r = 0; r < rows; ++r) {
      if (at[r] == nullptr) continue;
      float* to = dense_.get() + (place + r) * columns_;
      for (std::int64_t n = 0; n < columns; ++n) to[n] = at[r][offset + n * side.step];
    }
  }
  return {dense_rows_.data() + place, 0};
}

void Epilogue::run(Moment moment, const Block& block, std::int64_t tap, std::int64_t sheet, std::int64_t first,
                   std::int64_t columns, const float* c, const float* glu, std::int64_t pitch, const Gemm& gemm,
                   int thread) noexcept {
  Finish finish;
  finish.rows = block.rows, finish.columns = columns, finish.pitch = pitch;
  finish.c = c, finish.glu = glu;
  finish.scale = scale, finish.factor = factor, finish.activation = activation;
  const float* biases[2] = {};
  if (bias) {
    const std::int64_t step = bias.value->strides.back();
    for (int half = 0; half < (glu ? 2 : 1); ++half) {
      const float* from = bias.at<float>(moment) + bias_first + sheet * bias_sheet + half * bias_glu + first * step;
      float* to = dense_.get() + ((rows_ * kSides + 2) * thread + rows_ * kSides + half) * columns_;
      for (std::int64_t n = 0; step != 1 && n < columns; ++n) to[n] = from[n * step];
      biases[half] = step == 1 ? from : to;
    }
  }
  finish.bias = biases[0];
  finish.glu_bias = biases[1];
  finish.embedding = side(embedding, block.embedding, 0, block.rows, sheet, first, columns, 0, thread);
  finish.inner = side(inner, block.inner, tap, block.rows, sheet, first, columns, 1, thread);
  finish.gate = side(gate, block.gate, 0, block.rows, sheet, first, columns, 2, thread);
  finish.outer = side(outer, block.outer, 0, block.rows, sheet, first, columns, 3, thread);
  finish.y = side(y, block.y, tap, block.rows, sheet, first, columns, kY, thread);
  gemm.finish(finish);
  if (y.step == 1) return;
  const float* const* at = block.y.at + tap * block.y.pitch;
  const std::int64_t offset = y.sheets[static_cast<std::size_t>(sheet)] + first * y.step;
  for (std::int64_t r = 0; r < block.rows; ++r) {
    if (at[r] == nullptr) continue;
    float* to = const_cast<float*>(at[r]) + offset;
    for (std::int64_t n = 0; n < columns; ++n) to[n * y.step] = finish.y.rows[r][n];
  }
}

}  // namespace fewstep::cpu

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/epilogue.h"
#include "cpu/kernels.h"
#include "cpu/rows.h"
#include "cpu/simd/gemm.h"

namespace fewstep::cpu {

// A conv2d as numbers.
struct Convolution {
  explicit Convolution(const Problem& of);

  // Grids over the input and over what is like the output, for one output pixel a row.
  Grid input() const noexcept;
  Grid output(const Value& value) const noexcept;
  // The sides of the epilogue, for grids over the output that `grid` makes; blocks of at most `rows` by `columns`.
  void finish(Epilogue& epilogue, const std::vector<std::int64_t>& sheets,
              Grid (*grid)(const Convolution&, const Value&), std::int64_t rows, std::int64_t columns) const;
  // How many floats a row of the padding must have.
  std::int64_t padding_floats() const noexcept;

  const Problem& problem;
  const Gemm& gemm;
  const Operand &x, &weight;
  std::int64_t batch, channels, height, width;  // height and width: of x, before upsampling
  std::int64_t outputs, rows, columns, kernel_y, kernel_x;
  std::int64_t stride_y, stride_x, dilation_y, dilation_x, top, left, groups, upsample;
};

std::unique_ptr<Kernel> make_direct(const Convolution& convolution);
bool fits_winograd(const Convolution& convolution) noexcept;  // and is faster than direct
std::unique_ptr<Kernel> make_winograd(const Convolution& convolution);

}  // namespace fewstep::cpu

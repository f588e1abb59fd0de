#pragma once

#include <cstdint>
#include <vector>

#include "cpu/floats.h"
#include "cpu/kernel.h"
#include "cpu/rows.h"
#include "cpu/simd/gemm.h"

namespace fewstep::cpu {

// An operand of a product's result: its rows, the elements from one column to the next and to each sheet of rows.
struct Side {
  Rows rows;
  std::int64_t step = 1;
  std::vector<std::int64_t> sheets;
};

// What is done to a block of a product before it is written, and the writing.
class Epilogue {
 public:
  Side embedding, inner, gate, outer, y;
  Operand bias;
  // Elements to the first bias, from a sheet's to the next, and from a column's to that of its gate in a glu.
  std::int64_t bias_first = 0, bias_sheet = 0, bias_glu = 0;
  float scale = 1, factor = 1;
  Activation activation = Activation::none;

  // largest: rows and columns of a block.
  void prepare(std::int64_t rows, std::int64_t columns, int threads);
  std::size_t scratch() const noexcept { return dense_.bytes(); }

  // The addresses of a block's rows.
  struct Block {
    std::int64_t rows;
    Rows::Block embedding, inner, gate, outer, y;
  };
  Block block(Moment moment, std::int64_t first, std::int64_t rows, int thread) noexcept;

  // c (rows, columns) with `pitch` floats a row: columns from `first` of the sheet. tap: of y's and inner's grid.
  // glu: c of the gate, or null.
  void run(Moment moment, const Block& block, std::int64_t tap, std::int64_t sheet, std::int64_t first,
           std::int64_t columns, const float* c, const float* glu, std::int64_t pitch, const Gemm& gemm,
           int thread) noexcept;

 private:
  Finish::Side side(const Side& side, const Rows::Block& block, std::int64_t tap, std::int64_t rows, std::int64_t sheet,
                    std::int64_t first, std::int64_t columns, int slot, int thread) noexcept;

  std::int64_t rows_ = 0, columns_ = 0;
  Floats dense_;                          // rows whose columns do not lie side by side, gathered
  std::vector<const float*> dense_rows_;  // of each thread and side, and its bias
};

}  // namespace fewstep::cpu

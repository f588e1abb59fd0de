#pragma once

#include <cstdint>
#include <vector>

#include "cpu/epilogue.h"
#include "cpu/floats.h"
#include "cpu/panels.h"
#include "cpu/rows.h"
#include "cpu/simd/gemm.h"

namespace fewstep::cpu {

// y = epilogue(a b) for sheets of rows, of which each has its own a, b and y: what convolutions and products have in
// common. Work is handed out in blocks of rows by panels of columns.
class Product {
 public:
  struct Shape {
    std::int64_t sheets = 1, rows = 0, taps = 1, depth = 0, columns = 0;
    bool glu = false;
  };
  // panels: b, or what it will be packed into before a run.
  Product(const Gemm& gemm, const Shape& shape, Panels panels, int threads);

  std::int64_t block_rows() const noexcept { return block_; }
  std::size_t scratch() const noexcept;
  void run(Moment moment, int thread, int threads) noexcept;

  Rows a;
  std::int64_t a_step = 1;                       // elements from one of a's columns to the next
  std::vector<std::int64_t> a_sheets, b_sheets;  // of each sheet: elements added to a, the set of b
  Panels b;                                      // the set after one is that of a glu's gates
  Epilogue epilogue;

 private:
  void tiles(const Rows::Block& rows, std::int64_t count, std::int64_t sheet, std::int64_t set, std::int64_t panel,
             float* c) const noexcept;

  const Gemm& gemm_;
  Shape shape_;
  std::int64_t block_ = 0, chunk_ = 0, blocks_ = 0;
  bool rows_first_ = true;
  Floats c_;
};

}  // namespace fewstep::cpu

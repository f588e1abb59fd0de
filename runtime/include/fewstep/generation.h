#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fewstep/program.h"

namespace fewstep {

// Row i of the network's table is values[i]; `null` is the row that means no label.
struct LabelTable {
  std::string name;
  std::vector<std::string> values;
  std::int64_t null = 0;
};

// A program that makes pictures.
//
// 1. Image i is determined by seeds[i], its labels and steps: not by n, nor by the batch of the plan.
class Generation {
 public:
  // Throws std::invalid_argument if the program is one network, PlanError if what it says of its model is malformed.
  explicit Generation(Program& program);

  const std::vector<LabelTable>& tables() const noexcept { return tables_; }
  std::int64_t default_steps() const noexcept { return default_steps_; }
  std::int64_t height() const noexcept { return height_; }
  std::int64_t width() const noexcept { return width_; }

  // The row that a seed picks of a table when no label was asked for.
  std::int64_t drawn_row(std::uint64_t seed, std::size_t table) const noexcept;

  // rows: (n, tables), or nothing: drawn. Writes rgb (n, height, width, 3). Throws std::invalid_argument, DeviceError.
  void generate(std::span<const std::uint64_t> seeds, std::span<const std::int64_t> rows, std::int64_t steps,
                std::span<std::uint8_t> rgb);

 private:
  Program& program_;
  std::vector<LabelTable> tables_;
  std::int64_t default_steps_ = 0, height_ = 0, width_ = 0;
};

}  // namespace fewstep

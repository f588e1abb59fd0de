#pragma once

#include <cstdint>
#include <vector>

#include "cpu/elementwise.h"
#include "fewstep/op.h"

namespace fewstep::cpu {

// A map's code with its registers laid out: what is not needed any more is written over.
//
// 1. Places are numbered: inputs first, then constants, then slots of a tile each.
struct MapCode {
  struct Line {
    Elementwise run;
    std::int32_t a, b, c, y;  // places; b and c are a where they are not read
  };
  std::vector<float> constants;
  std::int32_t slots = 0;
  std::vector<Line> lines;
  std::int32_t result = 0;  // the place of y
};

// Throws std::invalid_argument for an operator that is none.
MapCode compile(const std::vector<Instruction>& code, std::int32_t inputs, Isa isa);

}  // namespace fewstep::cpu

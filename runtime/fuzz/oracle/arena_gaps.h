#pragma once

#include <vector>

#include "fewstep/plan.h"

namespace oracle {

// While it lives, AddressSanitizer refuses these parts of every arena that the CPU device makes.
class ArenaGaps {
 public:
  explicit ArenaGaps(const std::vector<fewstep::Buffer>& gaps);
  ~ArenaGaps();
  ArenaGaps(const ArenaGaps&) = delete;
  ArenaGaps& operator=(const ArenaGaps&) = delete;
};

}  // namespace oracle

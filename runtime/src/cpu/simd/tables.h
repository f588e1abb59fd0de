#pragma once

#include "cpu/elementwise.h"

namespace fewstep::cpu {

struct ElementwiseTable {
  Elementwise of[static_cast<int>(Operator::count)];
};

// What each build of this folder defines.
#define FEWSTEP_TABLES(isa)                   \
  namespace isa {                             \
  extern const ElementwiseTable kElementwise; \
  }
FEWSTEP_TABLES(portable)
FEWSTEP_TABLES(avx2)
FEWSTEP_TABLES(avx512)
#undef FEWSTEP_TABLES

}  // namespace fewstep::cpu

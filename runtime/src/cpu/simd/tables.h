#pragma once

#include "cpu/attention_math.h"
#include "cpu/channel_math.h"
#include "cpu/elementwise.h"
#include "cpu/row_math.h"

namespace fewstep::cpu {

struct ElementwiseTable {
  Elementwise of[static_cast<int>(Operator::count)];
};

// What each build of this folder defines.
#define FEWSTEP_TABLES(isa)                   \
  namespace isa {                             \
  extern const AttentionMath kAttentionMath;  \
  extern const ChannelMath kChannelMath;      \
  extern const ElementwiseTable kElementwise; \
  extern const RowMath kRowMath;              \
  }
FEWSTEP_TABLES(portable)
FEWSTEP_TABLES(avx2)
FEWSTEP_TABLES(avx512)
#undef FEWSTEP_TABLES

}  // namespace fewstep::cpu

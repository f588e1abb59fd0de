#pragma once

#include "fewstep/plan.h"

namespace fewstep {

// Of a large weight that was read and is not read again soon: its pages leave the process where they are a file's,
// which has them when they are read again. A plan's weights are in memory once then, as whoever packed them has them.
void release_pages(const Plan& plan, const Weight& weight) noexcept;

}  // namespace fewstep

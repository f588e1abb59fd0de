#pragma once

#include <string_view>

#include "fewstep/plan.h"
#include "plan/container.h"

namespace fewstep {

// A file's tensors, sorted by name, and the plan that its program says, of which check_plan has to check the rest.
// digests: of each weight, as the program gives it.
struct Draft {
  Plan plan;
  std::vector<std::string> digests;
};

// Throws PlanError.
Draft read_program(std::string_view document, std::vector<Weight> tensors);

}  // namespace fewstep

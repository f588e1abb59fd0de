#pragma once

#include "plan/program_json.h"

namespace fewstep {

// Throws PlanError where a plan breaks a rule of docs/plan.md, "Trust".
void check_plan(const Draft& draft);

// Its parts, in the order they run: each relies on those before it.
void check_views(const Plan& plan);
void check_weights(const Draft& draft);

}  // namespace fewstep

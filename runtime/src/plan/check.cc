#include "plan/check.h"

namespace fewstep {

void check_plan(const Draft& draft) {
  const Plan& plan = draft.plan;
  check_views(plan);
  check_weights(draft);
}

}  // namespace fewstep

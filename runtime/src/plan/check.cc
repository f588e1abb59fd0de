#include "plan/check.h"

namespace fewstep {

void check_plan(const Draft& draft) {
  const Plan& plan = draft.plan;
  check_views(plan);
  check_interface(plan);
  check_ops(plan);
  check_reads(plan);
  check_lifetimes(plan);
  check_adapters(plan);
  check_launches(plan);
  check_weights(draft);
}

}  // namespace fewstep

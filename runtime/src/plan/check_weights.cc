#include "pages.h"
#include "plan/check.h"
#include "plan/fields.h"
#include "plan/finite.h"
#include "plan/sha256.h"
#include "plan/utf8.h"

namespace fewstep {

void check_weights(const Draft& draft) {
  for (std::size_t i = 0; i < draft.plan.weights.size(); ++i) {
    const Weight& weight = draft.plan.weights[i];
    const std::string name = in_quotes(weight.name);
    const Place tensors("tensors"), place(tensors, name);
    if (!is_finite(weight.dtype, weight.bytes)) place.fail("expected finite weights, got NaN or Inf");
    const std::string digest = hex(sha256(weight.bytes));
    if (digest != draft.digests[i]) {
      place.fail("damaged: expected SHA-256 " + draft.digests[i] + ", got " + digest);
    }
    release_pages(draft.plan, weight);
  }
}

}  // namespace fewstep

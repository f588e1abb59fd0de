#include "cuda/architecture.h"

#include <algorithm>
#include <string>

#include "fewstep/error.h"

namespace fewstep::cuda {
namespace {

constexpr std::int64_t kFirstSpecific = 90;  // from here on images are compiled for one architecture alone

}  // namespace

Architecture choose_architecture(const Plan& plan, const Context& context) {
  const std::int64_t own = context.architecture();
  std::int64_t chosen = 0;
  std::string known;
  for (const std::int64_t architecture : plan.architectures) {
    known += (known.empty() ? "sm_" : ", sm_") + std::to_string(architecture);
    const bool older = architecture < own && architecture / 10 == own / 10 && own < kFirstSpecific;
    if (architecture == own || older) chosen = std::max(chosen, architecture);
  }
  if (chosen != 0) return {chosen, false};
  if (plan.ptx != 0 && plan.ptx <= own) return {plan.ptx, true};
  if (plan.ptx != 0) known += " and PTX of sm_" + std::to_string(plan.ptx);
  throw DeviceError(Fault::unavailable, "device " + std::to_string(context.index()) + ": expected sm_" +
                                            std::to_string(own) + " (" + context.name() + "), got a plan for " + known +
                                            ": compile the plan for this device");
}

}  // namespace fewstep::cuda

#include <algorithm>

#include "plan/check.h"
#include "plan/fields.h"
#include "plan/uses.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

using Written = std::vector<bool>;  // of each buffer

void check_stage(const Place& place, const Plan& plan, const Stage& stage, Written& written) {
  const std::vector<std::int32_t> fixed = schedule_buffers(plan);
  const Place ops(place, "ops");
  for (std::size_t k = 0; k < stage.ops.size(); ++k) {
    const Op& op = stage.ops[k];
    const std::string name = in_quotes(op.name);
    const Place item(ops, k), here(item, name);
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      const std::int32_t buffer = buffer_of(plan, op.inputs[i]);
      if (buffer >= 0 && !written[static_cast<std::size_t>(buffer)] && !is_history(op, i)) {
        here.fail("input " + std::to_string(i) + " reads buffer " + std::to_string(buffer) +
                  ", which nothing before it wrote");
      }
    }
    for (const std::int32_t output : op.outputs) {
      const std::int32_t buffer = buffer_of(plan, output);
      if (std::find(fixed.begin(), fixed.end(), buffer) != fixed.end()) here.fail("writes to the schedule");
      written[static_cast<std::size_t>(buffer)] = true;
    }
  }
}

}  // namespace

void check_reads(const Plan& plan) {
  const Place program("program"), stages(program, "stages"), outputs(program, "outputs");
  Written written(plan.buffers.size());
  for (const std::int32_t buffer : schedule_buffers(plan)) written[static_cast<std::size_t>(buffer)] = true;
  Written before, by_all;  // modulation, and by each of its stages: a run does one of them
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const Stage& stage = plan.stages[s];
    if (stage.name != "tables") {
      for (const auto& [name, value] : plan.inputs) written[static_cast<std::size_t>(buffer_of(plan, value))] = true;
    }
    const bool is_modulation = stage.name == "modulation";
    if (is_modulation && before.empty()) {
      before = written;
      by_all.assign(written.size(), true);
    }
    if (is_modulation) written = before;
    check_stage(Place(stages, s), plan, stage, written);
    if (!is_modulation) continue;
    for (std::size_t i = 0; i < by_all.size(); ++i) by_all[i] = by_all[i] && written[i];
    written = by_all;
  }
  for (const auto& [name, value] : plan.outputs) {
    if (!written[static_cast<std::size_t>(buffer_of(plan, value))]) outputs.fail(in_quotes(name) + " is never written");
  }
}

}  // namespace fewstep

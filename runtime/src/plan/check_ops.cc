#include <algorithm>

#include "plan/check.h"
#include "plan/op_operands.h"
#include "plan/overlap.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

// Whether the table lets this output be written over this input, which is the same view.
bool may_share(const std::string& kind, std::size_t output, std::size_t input) {
  if (kind == "map") return true;
  if (kind == "conv2d" || kind == "matmul") return input == 4;  // residual
  if (kind == "group_norm") return input == 0 || input == 5;    // x, residual
  if (kind == "layer_norm" || kind == "rms_norm" || kind == "softmax") return input == 0;
  if (kind == "sampler_step") return (output == 0 && input == 0) || (output == 3 && input == 5);
  return false;
}

void check_outputs(const Place& place, const Op& op, const Plan& plan, const Last& last) {
  const auto value = [&](std::int32_t index) -> const Value& { return plan.values[static_cast<std::size_t>(index)]; };
  for (std::size_t i = 0; i < op.outputs.size(); ++i) {
    const Value& output = value(op.outputs[i]);
    if (output.buffer < 0) place.fail("writes to a weight");
    if (!is_injective(output)) place.fail("an output with two elements at one address");
    for (std::size_t k = 0; k < i; ++k) {
      if (!are_disjoint(output, value(op.outputs[k]), last)) place.fail("two outputs share bytes");
    }
    for (std::size_t k = 0; k < op.inputs.size(); ++k) {
      if (op.inputs[k] < 0) continue;
      const Value& input = value(op.inputs[k]);
      const bool is_in_place = is_same_view(output, input) && may_share(op.kind, i, k);
      if (!is_in_place && !are_disjoint(output, input, last)) {
        place.fail("output " + std::to_string(i) + " shares bytes with input " + std::to_string(k) +
                   ", which is not in place");
      }
    }
  }
}

}  // namespace

void check_ops(const Plan& plan) {
  const Place program("program"), stages(program, "stages");
  const Last last = last_of(plan);
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const Place stage(stages, s), ops(stage, "ops");
    for (std::size_t i = 0; i < plan.stages[s].ops.size(); ++i) {
      const Op& op = plan.stages[s].ops[i];
      const Place item(ops, i);
      const std::string name = op.kind + " " + in_quotes(op.name);
      const Place place(item, name);
      check_shapes(op, Operands(place, plan, op));
      check_outputs(place, op, plan, last);
    }
  }
}

}  // namespace fewstep

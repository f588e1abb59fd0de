#include <set>

#include "plan/check.h"
#include "plan/fields.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

using Shape = std::vector<std::int64_t>;

std::string text_of(const Shape& shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "(" : ", ") + std::to_string(size);
  return text.empty() ? "()" : text + ")";
}

bool is_float(Dtype dtype) { return dtype == Dtype::f32 || dtype == Dtype::f16 || dtype == Dtype::bf16; }

void check_tensor(const Place& place, const Weight& weight, const Shape& shape, bool is_new) {
  const std::string name = in_quotes(weight.name);
  if (!is_float(weight.dtype)) place.fail("expected f32, f16 or bf16, which " + name + " is not");
  if (weight.shape != shape) {
    place.fail("expected a tensor of shape " + text_of(shape) + ", got " + name + " of " + text_of(weight.shape));
  }
  if (!is_new) place.fail("expected a tensor of its own, got " + name + ", which something else has too");
}

}  // namespace

void check_adapters(const Plan& plan) {
  if (!plan.adapters) return;
  const Place program("program"), adapters(program, "adapters"), modules(adapters, "modules");
  const Place targets(adapters, "targets");
  std::set<std::int32_t> known;
  if (plan.schedule) {
    for (const ScheduleRows& rows : {plan.schedule->tau, plan.schedule->coefficients, plan.schedule->scales}) {
      known.insert(rows.weight);
    }
  }
  for (const auto& [module, shape] : plan.adapters->modules) {
    if (shape.size() == 3) Place(modules, module).fail("expected 2 sizes, or 4 of a convolution, got 3");
  }
  for (const auto& [module, adapter] : plan.adapters->targets) {
    const std::string name = in_quotes(module);
    const Place here(targets, name);
    const auto found = plan.adapters->modules.find(module);
    if (found == plan.adapters->modules.end()) here.fail("expected one of the modules");
    const Shape& shape = found->second;
    Shape down{plan.adapters->rank, shape[1]};
    if (shape.size() == 4) down = {plan.adapters->rank, shape[2], shape[3], shape[1]};
    const auto weight = [&](std::int32_t index) -> const Weight& {
      return plan.weights[static_cast<std::size_t>(index)];
    };
    check_tensor(Place(here, "down"), weight(adapter.down), down, known.insert(adapter.down).second);
    check_tensor(Place(here, "up"), weight(adapter.up), {shape[0], plan.adapters->rank},
                 known.insert(adapter.up).second);
  }
}

}  // namespace fewstep

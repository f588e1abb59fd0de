#include <algorithm>
#include <set>

#include "oracle/addresses.h"
#include "oracle/oracle.h"

namespace oracle {
namespace {

using fewstep::Op;
using fewstep::Plan;
using fewstep::Stage;

constexpr std::int64_t kMostArena = 1 << 22, kGranule = 64, kMostSteps = 3;
constexpr std::int32_t kNobody = -1;

// Runs of a plan in which nothing is computed: of every 64 bytes of the arena, which buffer they hold.
class Runs {
 public:
  explicit Runs(const Plan& plan)
      : plan_(plan), owners_(static_cast<std::size_t>(plan.arena / kGranule + 1), kNobody) {}

  void open() {
    if (plan_.schedule) {
      for (const auto& rows : {plan_.schedule->tau, plan_.schedule->coefficients, plan_.schedule->scales}) {
        write(rows.value);
      }
    }
    for (const Stage& stage : plan_.stages) {
      if (stage.name == "tables") run(stage);
    }
  }

  void run(std::int64_t steps) {
    for (const auto& [name, value] : plan_.inputs) write(value);
    for (const Stage& stage : plan_.stages) {
      if (stage.name == "tables" || (stage.name == "modulation" && stage.steps != steps)) continue;
      const std::int64_t times = stage.name == "step" ? std::min(steps, kMostSteps) : 1;
      for (std::int64_t i = 0; i < times; ++i) run(stage);
    }
    for (const auto& [name, value] : plan_.inputs) require(holds(value));
    for (const auto& [name, value] : plan_.outputs) require(holds(value));
  }

 private:
  // f of each 64 bytes that a value's buffer has; f of none for a weight or what is left out.
  template <typename F>
  void each(std::int32_t value, F f) {
    if (value < 0 || value_of(plan_, value).buffer < 0) return;
    const auto index = value_of(plan_, value).buffer;
    const auto [offset, bytes] = plan_.buffers[static_cast<std::size_t>(index)];
    for (std::int64_t at = offset / kGranule; at <= (offset + bytes - 1) / kGranule; ++at) {
      f(owners_[static_cast<std::size_t>(at)], index);
    }
  }

  void write(std::int32_t value) {
    each(value, [](std::int32_t& owner, std::int32_t buffer) { owner = buffer; });
  }
  bool holds(std::int32_t value, bool or_nobody = false) {
    bool out = true;
    each(value, [&](std::int32_t owner, std::int32_t buffer) {
      out = out && (owner == buffer || (or_nobody && owner == kNobody));
    });
    return out;
  }

  void run(const Stage& stage) {
    for (const Op& op : stage.ops) {
      const bool has_history = op.kind == "sampler_step";  // input 5, which nobody writes before the first step
      for (std::size_t i = 0; i < op.inputs.size(); ++i) require(holds(op.inputs[i], has_history && i == 5));
      std::vector<std::int32_t> written = op.outputs;
      for (const fewstep::Launch& launch : op.launches) {
        for (const fewstep::Param& param : launch.params) written.push_back(param.value);
        if (launch.product) written.push_back(launch.product->workspace);
      }
      for (const std::int32_t value : written) write(value);
      for (const std::int32_t value : written) require(holds(value));
      for (std::size_t i = 0; i < op.inputs.size(); ++i) require(holds(op.inputs[i], has_history && i == 5));
    }
  }

  const Plan& plan_;
  std::vector<std::int32_t> owners_;
};

}  // namespace

void check_owners(const Plan& plan) {
  if (plan.arena > kMostArena) return;
  Runs runs(plan);
  runs.open();
  if (!plan.schedule) {
    for (int i = 0; i < 2; ++i) runs.run(1);
    return;
  }
  for (int i = 0; i < 2; ++i) {
    for (const auto& [steps, first] : plan.schedule->counts) runs.run(steps);
  }
}

}  // namespace oracle

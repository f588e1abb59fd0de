#include <algorithm>
#include <map>

#include "plan/check.h"
#include "plan/fields.h"
#include "plan/uses.h"

namespace fewstep {
namespace {

// The bytes of live buffers: where each begins, and which it is.
class Occupancy {
 public:
  Occupancy(const Place& place, const Plan& plan) : place_(place), plan_(plan) {}
  Occupancy(const Place& place, const Occupancy& always) : place_(place), plan_(always.plan_), live_(always.live_) {}

  void enter(std::int32_t buffer) {
    const Buffer& entering = at(buffer);
    const auto after = live_.lower_bound(entering.offset);
    if (after != live_.end() && after->first < entering.offset + entering.bytes) refuse(buffer, after->second);
    if (after != live_.begin()) {
      const std::int32_t before = std::prev(after)->second;
      if (at(before).offset + at(before).bytes > entering.offset) refuse(buffer, before);
    }
    live_.emplace_hint(after, entering.offset, buffer);
  }
  void leave(std::int32_t buffer) { live_.erase(at(buffer).offset); }

 private:
  const Buffer& at(std::int32_t buffer) const { return plan_.buffers[static_cast<std::size_t>(buffer)]; }
  [[noreturn]] void refuse(std::int32_t a, std::int32_t b) const {
    place_.fail("buffers " + std::to_string(std::min(a, b)) + " and " + std::to_string(std::max(a, b)) +
                " share bytes while both are live");
  }

  const Place& place_;
  const Plan& plan_;
  std::map<std::int64_t, std::int32_t> live_;
};

// Of each buffer whether it is live throughout.
std::vector<bool> throughout(const Plan& plan) {
  std::vector<bool> out(plan.buffers.size());
  std::vector<std::size_t> stage_of(plan.buffers.size(), plan.stages.size());
  const auto mark = [&](std::int32_t buffer) { out[static_cast<std::size_t>(buffer)] = true; };
  for (const std::int32_t buffer : schedule_buffers(plan)) mark(buffer);
  for (const auto& [name, value] : plan.inputs) mark(buffer_of(plan, value));
  for (const auto& [name, value] : plan.outputs) mark(buffer_of(plan, value));
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    for (const Op& op : plan.stages[s].ops) {
      each_buffer(plan, op, [&](std::int32_t buffer) {
        std::size_t& stage = stage_of[static_cast<std::size_t>(buffer)];
        if (stage != plan.stages.size() && stage != s) mark(buffer);
        stage = s;
      });
      for (std::size_t i = 0; i < op.inputs.size(); ++i) {
        if (is_history(op, i) && buffer_of(plan, op.inputs[i]) >= 0) mark(buffer_of(plan, op.inputs[i]));
      }
    }
  }
  return out;
}

}  // namespace

void check_lifetimes(const Plan& plan) {
  const Place program("program"), stages(program, "stages");
  const std::vector<bool> is_throughout = throughout(plan);
  Occupancy always(program, plan);
  for (std::size_t i = 0; i < is_throughout.size(); ++i) {
    if (is_throughout[i]) always.enter(static_cast<std::int32_t>(i));
  }
  // A buffer that is not live throughout belongs to one stage, so that `first` and `last` are of that one.
  constexpr std::size_t kNever = static_cast<std::size_t>(-1);
  std::vector<std::size_t> first(plan.buffers.size(), kNever), last(plan.buffers.size(), kNever);
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const Place stage(stages, s), place(stage, "ops");
    const auto& ops = plan.stages[s].ops;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      each_buffer(plan, ops[i], [&](std::int32_t buffer) {
        const auto at = static_cast<std::size_t>(buffer);
        if (first[at] == kNever) first[at] = i;
        last[at] = i;
      });
    }
    Occupancy live(place, always);
    for (std::size_t i = 0; i < ops.size(); ++i) {
      std::vector<std::int32_t> named;
      each_buffer(plan, ops[i], [&](std::int32_t buffer) {
        if (!is_throughout[static_cast<std::size_t>(buffer)]) named.push_back(buffer);
      });
      std::sort(named.begin(), named.end());
      named.erase(std::unique(named.begin(), named.end()), named.end());
      for (const std::int32_t buffer : named) {
        if (first[static_cast<std::size_t>(buffer)] == i) live.enter(buffer);
      }
      for (const std::int32_t buffer : named) {
        if (last[static_cast<std::size_t>(buffer)] == i) live.leave(buffer);
      }
    }
  }
}

}  // namespace fewstep

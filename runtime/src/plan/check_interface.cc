#include <algorithm>
#include <array>
#include <set>

#include "plan/check.h"
#include "plan/fields.h"
#include "plan/overlap.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

constexpr std::array<std::string_view, 6> kOrder{"tables", "prompt", "modulation", "start", "step", "finish"};

const Value& value_at(const Plan& plan, std::int32_t index) { return plan.values[static_cast<std::size_t>(index)]; }

void expect(const Place& place, bool condition, const char* what) {
  if (!condition) place.fail(std::string("expected ") + what);
}

void check_network(const Place& place, const Plan& plan) {
  if (plan.stages.size() != 1 || plan.stages[0].name != "network" || plan.stages[0].steps != 0) {
    place.fail("expected the stage \"network\" alone in a plan without a schedule");
  }
}

// In the order of the table, each once but modulation, which is there for no step count or for all.
void check_generation(const Place& place, const Plan& plan) {
  std::size_t before = 0;
  std::set<std::string_view> seen;
  std::set<std::int64_t> counts;
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const Stage& stage = plan.stages[i];
    const auto rank = static_cast<std::size_t>(std::find(kOrder.begin(), kOrder.end(), stage.name) - kOrder.begin());
    if (rank == kOrder.size()) Place(place, i).fail("unknown stage " + in_quotes(stage.name));
    if (rank < before) Place(place, i).fail("stage " + in_quotes(stage.name) + " comes too late");
    before = rank;
    const bool is_modulation = stage.name == "modulation";
    if (!seen.insert(stage.name).second && !is_modulation) {
      Place(place, i).fail("stage " + in_quotes(stage.name) + " appears twice");
    }
    if (is_modulation != (plan.schedule->counts.count(stage.steps) == 1) || (!is_modulation && stage.steps != 0)) {
      Place(place, i).fail("steps: expected a step count of the schedule for modulation and 0 elsewhere, got " +
                           std::to_string(stage.steps));
    }
    if (is_modulation && !counts.insert(stage.steps).second) {
      Place(place, i).fail("modulation of " + std::to_string(stage.steps) + " steps appears twice");
    }
  }
  for (const std::string_view name : {"start", "step", "finish"}) {
    if (!seen.contains(name)) place.fail("stage " + in_quotes(name) + " is missing");
  }
  expect(place, counts.empty() || counts.size() == plan.schedule->counts.size(), "modulation for every step count");
}

// What is written from outside: in a buffer, unmoved, every element at an address of its own.
void check_written(const Place& place, const Plan& plan, std::int32_t index, std::set<std::int32_t>& buffers) {
  const Value& value = value_at(plan, index);
  expect(place, value.buffer >= 0, "a value in a buffer");
  expect(place, value.row == 0 && value.step == 0, "a value that does not move");
  expect(place, is_injective(value), "a value without two elements at one address");
  expect(place, buffers.insert(value.buffer).second, "a buffer that no other input is in");
}

void check_rows(const Place& place, const Plan& plan, const ScheduleRows& rows,
                const std::vector<std::vector<std::int64_t>>& shapes, std::set<std::int32_t>& buffers) {
  check_written(place, plan, rows.value, buffers);
  const Value& value = value_at(plan, rows.value);
  const Weight& weight = plan.weights[static_cast<std::size_t>(rows.weight)];
  expect(place, value.dtype == Dtype::f32 && weight.dtype == Dtype::f32, "a value and a tensor of type f32");
  expect(place, std::find(shapes.begin(), shapes.end(), value.shape) != shapes.end(), "its columns for each row");
  expect(place, value.shape == weight.shape, "a tensor of the value's shape");
}

void check_schedule(const Place& place, const Plan& plan, std::set<std::int32_t>& buffers) {
  const ScheduleTable& schedule = *plan.schedule;
  const std::int64_t rows = schedule.rows;
  check_rows(Place(place, "tau"), plan, schedule.tau, {{rows}}, buffers);
  check_rows(Place(place, "coefficients"), plan, schedule.coefficients, {{rows, 9}, {rows, 11}}, buffers);
  check_rows(Place(place, "scales"), plan, schedule.scales, {{rows, 2}}, buffers);
}

void check_named(const Place& place, const Plan& plan, const std::map<std::string, std::int32_t>& names,
                 const char* name, bool is_needed, Dtype dtype, const std::vector<std::int64_t>& shape) {
  const auto found = names.find(name);
  if (found == names.end()) {
    if (is_needed) place.fail("a generation has " + in_quotes(name));
    return;
  }
  const Value& value = value_at(plan, found->second);
  bool fits = value.dtype == dtype && value.shape.size() >= shape.size();  // latents have more axes
  for (std::size_t i = 0; fits && i < shape.size(); ++i) fits = shape[i] < 0 || value.shape[i] == shape[i];
  if (!fits) place.fail(in_quotes(name) + " has not the type and the shape that a generation's has");
}

}  // namespace

void check_interface(const Plan& plan) {
  const Place program("program"), stages(program, "stages"), schedule(program, "schedule");
  const Place inputs(program, "inputs"), outputs(program, "outputs");
  std::set<std::int32_t> buffers;
  if (plan.schedule) {
    check_generation(stages, plan);
    check_schedule(schedule, plan, buffers);
    const std::int64_t steps = plan.schedule->counts.rbegin()->first;
    const bool is_given = plan.begins_anywhere(), is_masked = plan.inputs.contains("picture_mask");
    check_named(inputs, plan, plan.inputs, "seeds", !is_given, Dtype::i64, {plan.batch});
    check_named(inputs, plan, plan.inputs, "state", is_masked, Dtype::f32, {plan.batch});
    check_named(inputs, plan, plan.inputs, "noise", is_given, Dtype::f32, {steps, plan.batch});
    check_named(inputs, plan, plan.inputs, "picture_mask", false, Dtype::f32, {plan.batch, 1});
    check_named(inputs, plan, plan.inputs, "picture", is_masked, Dtype::f32, {steps, plan.batch});
    check_named(inputs, plan, plan.inputs, "labels", false, Dtype::i64, {plan.batch, -1});
    check_named(outputs, plan, plan.outputs, "images", true, Dtype::u8, {plan.batch, -1, -1, 3});
    check_named(outputs, plan, plan.outputs, "flag", true, Dtype::i32, {plan.batch});
    check_named(outputs, plan, plan.outputs, "latents", false, Dtype::f32, {plan.batch});
  } else {
    check_network(stages, plan);
    check_named(outputs, plan, plan.outputs, "flag", false, Dtype::i32, {-1});
  }
  for (const auto& [name, index] : plan.inputs) {
    const std::string title = in_quotes(name);
    check_written(Place(inputs, title), plan, index, buffers);
  }
  for (const auto& [name, index] : plan.outputs) {
    const std::string title = in_quotes(name);
    const Value& value = value_at(plan, index);
    expect(Place(outputs, title), value.buffer >= 0 && value.row == 0 && value.step == 0,
           "a value in a buffer that does not move");
  }
}

}  // namespace fewstep

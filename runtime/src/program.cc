#include "fewstep/program.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "fewstep/error.h"
#include "plan/finite.h"

namespace fewstep {
namespace {

std::size_t bytes_of(const Value& value) noexcept {
  std::size_t bytes = bytes_of(value.dtype);
  for (const std::int64_t size : value.shape) bytes *= static_cast<std::size_t>(size);
  return bytes;
}

std::string list_of(const auto& named) {
  std::string text;
  for (const auto& entry : named) {
    if (!text.empty()) text += ", ";
    if constexpr (requires { std::to_string(entry.first); }) {
      text += std::to_string(entry.first);
    } else {
      text += entry.first;
    }
  }
  return text.empty() ? "none" : text;
}

void check_sizes(const char* what, const Plan& plan, const std::map<std::string, std::int32_t>& declared,
                 const auto& given) {
  for (const auto& [name, data] : given) {
    const auto found = declared.find(name);
    if (found == declared.end()) {
      throw std::invalid_argument(std::string("no ") + what + " is named \"" + name + "\": the plan has " +
                                  list_of(declared));
    }
    const std::size_t expected = bytes_of(plan.values[static_cast<std::size_t>(found->second)]);
    if (data.size() != expected) {
      throw std::invalid_argument(std::string(what) + " \"" + name + "\" must have " + std::to_string(expected) +
                                  " bytes, got " + std::to_string(data.size()));
    }
  }
}

void check_rows(const char* name, const Value& value, std::span<const float> rows) {
  const std::size_t expected = bytes_of(value) / sizeof(float);
  if (rows.size() != expected) {
    throw std::invalid_argument(std::string("the schedule's ") + name + " must have " + std::to_string(expected) +
                                " numbers, got " + std::to_string(rows.size()));
  }
  if (!std::all_of(rows.begin(), rows.end(), [](float x) { return std::isfinite(x); })) {
    throw std::invalid_argument(std::string("the schedule's ") + name + " must be finite");
  }
}

}  // namespace

Program::Program(std::shared_ptr<const Plan> plan, std::unique_ptr<Device> device)
    : plan_(std::move(plan)), device_(std::move(device)) {
  if (const auto flag = plan_->outputs.find("flag"); flag != plan_->outputs.end()) {
    flag_.resize(bytes_of(plan_->values[static_cast<std::size_t>(flag->second)]) / sizeof(std::int32_t));
  }
  if (plan_->schedule) {
    const ScheduleTable& schedule = *plan_->schedule;
    for (const ScheduleRows& rows : {schedule.tau, schedule.coefficients, schedule.scales}) {
      device_->write(rows.value, plan_->weights[static_cast<std::size_t>(rows.weight)].bytes);
    }
  }
  device_->prepare();
}

std::string Program::describe() const {
  const std::lock_guard lock(mutex_);
  return device_->describe();
}

void Program::run(std::int64_t steps, const Inputs& inputs, const Outputs& outputs, std::int64_t first) {
  if (plan_->schedule ? !plan_->schedule->counts.contains(steps) : steps != 1) {
    throw std::invalid_argument("steps must be one of " +
                                (plan_->schedule ? list_of(plan_->schedule->counts) : std::string("1")) + ", got " +
                                std::to_string(steps));
  }
  const std::int64_t last = plan_->begins_anywhere() ? steps - 1 : 0;
  if (first < 0 || first > last) {
    throw std::invalid_argument("first must be 0 to " + std::to_string(last) + ", got " + std::to_string(first) +
                                (plan_->begins_anywhere() ? "" : ": the plan has no input \"state\" to begin with"));
  }
  check_sizes("input", *plan_, plan_->inputs, inputs);
  check_sizes("output", *plan_, plan_->outputs, outputs);
  if (inputs.size() != plan_->inputs.size()) {
    throw std::invalid_argument("the plan's inputs are " + list_of(plan_->inputs) + "; got " + list_of(inputs));
  }
  const std::lock_guard lock(mutex_);
  for (const auto& [name, data] : inputs) device_->write(plan_->inputs.find(name)->second, data);
  device_->run(steps, first);
  for (const auto& [name, data] : outputs) device_->read(plan_->outputs.find(name)->second, data);
  if (flag_.empty()) return;
  device_->read(plan_->outputs.find("flag")->second, std::as_writable_bytes(std::span(flag_)));
  const auto bad = std::find_if(flag_.begin(), flag_.end(), [](std::int32_t seen) { return seen != 0; });
  if (bad != flag_.end()) {
    throw DeviceError(Fault::numerical, "image " + std::to_string(bad - flag_.begin()) + " of " +
                                            std::to_string(flag_.size()) + " met NaN or Inf in its " +
                                            std::to_string(steps) + " steps");
  }
}

void Program::set_schedule(std::span<const float> tau, std::span<const float> coefficients,
                           std::span<const float> scales) {
  if (!plan_->schedule) throw std::invalid_argument("the plan is one network: it has no schedule to set");
  const ScheduleTable& schedule = *plan_->schedule;
  const struct {
    const char* name;
    std::int32_t value;
    std::span<const float> rows;
  } tables[] = {{"tau", schedule.tau.value, tau},
                {"coefficients", schedule.coefficients.value, coefficients},
                {"scales", schedule.scales.value, scales}};
  for (const auto& table : tables) {
    check_rows(table.name, plan_->values[static_cast<std::size_t>(table.value)], table.rows);
  }
  const std::lock_guard lock(mutex_);
  for (const auto& table : tables) device_->write(table.value, std::as_bytes(table.rows));
  device_->prepare();
}

void Program::set_tensors(const Inputs& tensors) {
  std::vector<Replacement> replacements;
  for (const auto& [name, bytes] : tensors) {
    const auto found = std::ranges::find_if(plan_->replaceable, [&](std::int32_t weight) {
      return plan_->weights[static_cast<std::size_t>(weight)].name == name;
    });
    if (found == plan_->replaceable.end()) {
      throw std::invalid_argument("no tensor that can be replaced is named \"" + name + "\": the plan has " +
                                  std::to_string(plan_->replaceable.size()) + " of them");
    }
    const Weight& weight = plan_->weights[static_cast<std::size_t>(*found)];
    if (bytes.size() != weight.bytes.size()) {
      throw std::invalid_argument("tensor \"" + name + "\" must have " + std::to_string(weight.bytes.size()) +
                                  " bytes, got " + std::to_string(bytes.size()));
    }
    if (!is_finite(weight.dtype, bytes)) {
      throw std::invalid_argument("tensor \"" + name + "\" must be finite, got NaN or Inf");
    }
    replacements.push_back({*found, bytes});
  }
  const std::lock_guard lock(mutex_);
  device_->replace(replacements);
  device_->prepare();
}

}  // namespace fewstep

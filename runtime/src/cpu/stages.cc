#include "cpu/stages.h"

#include <algorithm>
#include <new>
#include <set>
#include <string_view>
#include <utility>

#include "cpu/make_kernel.h"
#include "fewstep/error.h"
#include "json_string.h"
#include "pages.h"

namespace fewstep::cpu {
namespace {

std::vector<Operand> resolved(const std::vector<std::int32_t>& values, const Operands& operands) {
  std::vector<Operand> result;
  for (const std::int32_t value : values) result.push_back(operands[value]);
  return result;
}

// Two rounds of a pool: weights get their values, then kernels pack them; each is one thread's.
struct Replacing {
  std::span<const Replacement> weights;
  Operands& operands;
  std::vector<Kernel*> kernels;
  int threads;

  int parts(std::int64_t /*round*/) const noexcept { return threads; }
  void run(std::int64_t round, int part) const noexcept {
    const std::size_t count = round == 0 ? weights.size() : kernels.size();
    for (auto i = static_cast<std::size_t>(part); i < count; i += static_cast<std::size_t>(threads)) {
      if (round == 0) {
        operands.replace(weights[i]);
      } else {
        kernels[i]->repack();
      }
    }
  }
};

}  // namespace

Stages::Stages(const Plan& plan, const Operands& operands, const Means& means) {
  for (const Stage& stage : plan.stages) {
    Sequence& sequence = sequences_.emplace_back(means.threads);
    names_.push_back(stage.name);
    for (const Op& op : stage.ops) {
      Problem& problem = problems_.emplace_back(
          Problem{op, resolved(op.inputs, operands), resolved(op.outputs, operands), means.isa, means.threads});
      try {
        sequence.append(make_kernel(problem), accesses_of(op, plan));
      } catch (const std::bad_alloc&) {
        throw DeviceError(Fault::out_of_memory, "op " + op.name + ": no memory for its weights and scratch");
      }
      for (const std::int32_t value : op.inputs) {
        const std::int32_t weight = value < 0 ? -1 : plan.values[static_cast<std::size_t>(value)].weight;
        if (weight < 0) continue;
        release_pages(plan, plan.weights[static_cast<std::size_t>(weight)]);
        if (std::ranges::binary_search(plan.replaceable, weight)) {
          readers_.emplace(weight, &sequence.kernel(sequence.size() - 1));
        }
      }
    }
    if (stage.name == "tables") tables_.add(sequence, {});
  }
  if (!plan.schedule) {
    runs_.emplace(std::pair(1, 0), rounds_of(plan, 1, 0, 0));
    return;
  }
  for (const auto& [steps, row] : plan.schedule->counts) {
    for (std::int64_t first = 0; first < (plan.begins_anywhere() ? steps : 1); ++first) {
      runs_.emplace(std::pair(steps, first), rounds_of(plan, steps, row, first));
    }
  }
}

Stages::Rounds Stages::rounds_of(const Plan& plan, std::int64_t steps, std::int64_t row, std::int64_t first) const {
  Rounds rounds;
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const Stage& stage = plan.stages[i];
    if (stage.name == "tables" || (stage.name == "modulation" && stage.steps != steps)) continue;
    if (stage.name == "step") {
      for (std::int64_t step = first; step < steps; ++step) rounds.add(sequences_[i], {row + step, step});
    } else {
      rounds.add(sequences_[i], stage.name == "start" ? Moment{row + first, first} : Moment{row, 0});
    }
  }
  return rounds;
}

void Stages::Rounds::add(const Sequence& sequence, Moment moment) {
  for (std::int64_t round = 0; round < sequence.rounds(); ++round) all.push_back({&sequence, moment, round});
}

void Stages::Rounds::run(std::int64_t round, int part) const noexcept {
  const Round& now = at(round);
  now.sequence->run(now.moment, now.round, part);
}

void Stages::run(const Rounds& rounds, Pool& pool) { pool.run(static_cast<std::int64_t>(rounds.all.size()), rounds); }

void Stages::prepare(Pool& pool) const { run(tables_, pool); }

void Stages::run(std::int64_t steps, std::int64_t first, Pool& pool) const { run(runs_.at({steps, first}), pool); }

void Stages::replace(std::span<const Replacement> weights, Operands& operands, Pool& pool) const {
  std::set<Kernel*> found;
  for (const Replacement& replacement : weights) {
    const auto [first, last] = readers_.equal_range(replacement.weight);
    for (auto reader = first; reader != last; ++reader) found.insert(reader->second);
  }
  pool.run(2, Replacing{weights, operands, {found.begin(), found.end()}, pool.threads()});
}

std::string Stages::take_fault() const {
  std::string fault;
  std::size_t op = 0;
  for (const Sequence& sequence : sequences_) {
    for (std::size_t i = 0; i < sequence.size(); ++i, ++op) {
      std::string own = sequence.kernel(i).take_fault();
      if (!own.empty() && fault.empty()) fault = "op " + problems_[op].op.name + ": " + own;
    }
  }
  return fault;
}

std::size_t Stages::scratch() const noexcept {
  std::size_t bytes = 0;
  for (const Sequence& sequence : sequences_) {
    for (std::size_t i = 0; i < sequence.size(); ++i) bytes += sequence.kernel(i).scratch();
  }
  return bytes;
}

std::string Stages::describe() const {
  std::string text;
  std::size_t op = 0;
  for (std::size_t stage = 0; stage < sequences_.size(); ++stage) {
    for (std::size_t i = 0; i < sequences_[stage].size(); ++i, ++op) {
      text += std::string(text.empty() ? "[" : ", ") + "{\"stage\": " + json_string(names_[stage]) +
              ", \"op\": " + json_string(problems_[op].op.kind) + ", \"name\": " + json_string(problems_[op].op.name) +
              ", \"choice\": " + json_string(sequences_[stage].kernel(i).choice()) + "}";
    }
  }
  return text.empty() ? "[]" : text + "]";
}

}  // namespace fewstep::cpu

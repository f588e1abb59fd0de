// Where the time of a run goes: program PLAN [THREADS [STEPS [RUNS]]]
//
// A line for each op of one run, least and median microseconds as a run of its own, and sums by kind; then whole runs
// as a device does them, and what a round costs.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/make_kernel.h"
#include "cpu/operands.h"
#include "cpu/pool.h"
#include "fewstep/device.h"
#include "fewstep/plan.h"

namespace fewstep::cpu {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::micro>(to - from).count();
}

struct Times {
  std::vector<double> all;
  double least() const { return *std::ranges::min_element(all); }
  double median() {
    std::ranges::sort(all);
    return all[all.size() / 2];
  }
};

struct Item {
  const Stage& stage;
  const Op& op;
  std::unique_ptr<Kernel> kernel;
  std::string size;
  Times times;
};

std::string size_of(const std::vector<Operand>& outputs) {
  std::string text;
  for (const std::int64_t size : outputs.front().value->shape) {
    text += (text.empty() ? "" : "x") + std::to_string(size);
  }
  return text;
}

std::deque<Item> items_of(const Plan& plan, const Operands& operands, std::deque<Problem>& problems, int threads) {
  std::deque<Item> items;
  for (const Stage& stage : plan.stages) {
    for (const Op& op : stage.ops) {
      Problem& problem = problems.emplace_back(Problem{op, {}, {}, best_isa(), threads});
      for (const std::int32_t value : op.inputs) problem.inputs.push_back(operands[value]);
      for (const std::int32_t value : op.outputs) problem.outputs.push_back(operands[value]);
      items.push_back({stage, op, make_kernel(problem), size_of(problem.outputs), {}});
    }
  }
  return items;
}

void clear_inputs(const Plan& plan, const Operands& operands) {
  const auto fill = [&](std::int32_t value, const std::byte* from) {
    const Operand operand = operands[value];
    std::size_t bytes = bytes_of(operand.value->dtype);
    for (const std::int64_t size : operand.value->shape) bytes *= static_cast<std::size_t>(size);
    from == nullptr ? std::memset(operand.base, 0, bytes) : std::memcpy(operand.base, from, bytes);
  };
  for (const auto& [name, value] : plan.inputs) fill(value, nullptr);
  if (!plan.schedule) return;
  for (const ScheduleRows& rows : {plan.schedule->tau, plan.schedule->coefficients, plan.schedule->scales}) {
    fill(rows.value, plan.weights[static_cast<std::size_t>(rows.weight)].bytes.data());
  }
}

struct OneKernel {
  Kernel& kernel;
  Moment moment;
  int threads;
  int parts(std::int64_t) const { return kernel.alone() ? 1 : threads; }
  void run(std::int64_t phase, int part) const {
    kernel.run(moment, static_cast<int>(phase), part, kernel.alone() ? 1 : threads);
  }
};

void profile(const std::shared_ptr<const Plan>& plan, int threads, std::int64_t steps, int runs) {
  const Operands operands(plan);
  Pool pool(threads);
  std::deque<Problem> problems;
  std::deque<Item> items = items_of(*plan, operands, problems, threads);
  clear_inputs(*plan, operands);
  const std::int64_t row = plan->schedule ? plan->schedule->counts.at(steps) : 0;
  for (int run = 0; run <= runs; ++run) {
    for (Item& item : items) {
      const std::string& stage = item.stage.name;
      if ((stage == "tables") != (run == 0) || (stage == "modulation" && item.stage.steps != steps)) continue;
      const Clock::time_point begin = Clock::now();
      pool.run(item.kernel->phases(), OneKernel{*item.kernel, {row, 0}, threads});
      item.times.all.push_back(microseconds(begin, Clock::now()));
    }
  }
  struct Sum {
    int count = 0;
    double least = 0, median = 0;
  };
  std::map<std::string, Sum> sums;
  for (Item& item : items) {
    if (item.times.all.empty() || item.stage.name == "tables") continue;
    const double least = item.times.least(), median = item.times.median();
    for (const std::string& key :
         {item.stage.name + " " + item.op.kind + " " + item.kernel->choice(), item.stage.name + " in all"}) {
      Sum& sum = sums[key];
      ++sum.count, sum.least += least, sum.median += median;
    }
    std::printf("%-8s %-13s %-14s %-14s %8.1f %8.1f us  %7zu KB  %s\n", item.stage.name.c_str(), item.op.kind.c_str(),
                item.kernel->choice().c_str(), item.size.c_str(), least, median, item.kernel->scratch() / 1024,
                item.op.name.c_str());
  }
  for (const auto& [key, sum] : sums) {
    std::printf("%-40s %3d ops %9.1f %9.1f us\n", key.c_str(), sum.count, sum.least, sum.median);
  }
}

void whole(const std::shared_ptr<const Plan>& plan, int threads, std::int64_t steps, int runs) {
  const std::unique_ptr<Device> device = make_cpu_device(plan, {threads});
  for (const auto& [name, value] : plan->inputs) {
    std::size_t bytes = 1;
    const Value& view = plan->values[static_cast<std::size_t>(value)];
    for (const std::int64_t size : view.shape) bytes *= static_cast<std::size_t>(size);
    device->write(value, std::vector<std::byte>(bytes * bytes_of(view.dtype)));
  }
  if (plan->schedule) {
    for (const ScheduleRows& rows : {plan->schedule->tau, plan->schedule->coefficients, plan->schedule->scales}) {
      device->write(rows.value, plan->weights[static_cast<std::size_t>(rows.weight)].bytes);
    }
  }
  device->prepare();
  Times times;
  for (int run = 0; run < runs; ++run) {
    const Clock::time_point begin = Clock::now();
    device->run(steps, 0);
    times.all.push_back(microseconds(begin, Clock::now()));
  }
  const double median = times.median();
  std::printf("whole runs of %lld steps, %d threads: least %.1f, p20 %.1f, median %.1f us\n",
              static_cast<long long>(steps), threads, times.least(), times.all[times.all.size() / 5], median);
}

struct Nothing {
  int threads;
  int parts(std::int64_t) const { return threads; }
  void run(std::int64_t, int) const {}
};

void rounds(int threads) {
  Pool pool(threads);
  constexpr int kRounds = 1000;
  Times times;
  for (int run = 0; run < 50; ++run) {
    const Clock::time_point begin = Clock::now();
    pool.run(kRounds, Nothing{threads});
    times.all.push_back(microseconds(begin, Clock::now()) / kRounds);
  }
  const double median = times.median();
  std::printf("a round of nothing with %d threads: least %.3f, median %.3f us\n", threads, times.least(), median);
}

}  // namespace
}  // namespace fewstep::cpu

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: program PLAN [THREADS [STEPS [RUNS]]]\n", stderr);
    return 2;
  }
  const int threads = argc > 2 ? std::atoi(argv[2]) : 1, runs = argc > 4 ? std::atoi(argv[4]) : 200;
  const std::int64_t steps = argc > 3 ? std::atoi(argv[3]) : 1;
  try {
    const auto plan = std::make_shared<const fewstep::Plan>(fewstep::open_plan(argv[1]));
    fewstep::cpu::profile(plan, threads, steps, runs);
    fewstep::cpu::whole(plan, threads, steps, runs);
    fewstep::cpu::rounds(threads);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

#include "cuda/runs.h"

#include <stdexcept>

#include "fewstep/error.h"

namespace fewstep::cuda {
namespace {

constexpr int kTries = 3;

}  // namespace

Runs::Runs(Stream& stream, Stages& stages, const Plan& plan, bool capture)
    : stream_(stream), stages_(stages), capture_(capture) {
  if (!plan.schedule) {
    runs_.emplace(1, Run{0, nullptr});
    return;
  }
  for (const auto& [steps, first_row] : plan.schedule->counts) runs_.emplace(steps, Run{first_row, nullptr});
}

void Runs::capture_all() {
  for (auto& [steps, run] : runs_) capture(steps, run);
}

void Runs::capture(std::int64_t steps, Run& run) {
  if (!capture_ || run.graph != nullptr || run.failures == kTries) return;
  try {
    run.graph = std::make_unique<Graph>(stream_, [&] { stages_.enqueue(stream_, steps, run.first_row); });
    ++captures_;
  } catch (const DeviceError& error) {
    if (error.fault() == Fault::fatal) throw;
    stream_.settle();
    ++run.failures;
    ++failed_captures_;
    last_failure_ = error.what();
  }
}

void Runs::enqueue(std::int64_t steps) {
  const auto found = runs_.find(steps);
  if (found == runs_.end()) {
    std::string known;
    for (const auto& [count, run] : runs_) known += (known.empty() ? "" : ", ") + std::to_string(count);
    throw std::invalid_argument("steps: expected " + known + ", got " + std::to_string(steps));
  }
  Run& run = found->second;
  capture(steps, run);
  if (run.graph != nullptr) {
    run.graph->launch();
    ++graph_launches_;
  } else {
    stages_.enqueue(stream_, steps, run.first_row);
    if (capture_) ++fallbacks_;
  }
}

std::map<std::int64_t, std::int64_t> Runs::launches() const {
  std::map<std::int64_t, std::int64_t> launches;
  for (const auto& [steps, run] : runs_) launches.emplace(steps, stages_.launches(steps));
  return launches;
}

}  // namespace fewstep::cuda

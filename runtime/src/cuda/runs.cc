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
    runs_.emplace(Key{1, 0}, Run{0, nullptr});
    return;
  }
  for (const auto& [steps, first_row] : plan.schedule->counts) {
    for (std::int64_t first = 0; first < (plan.begins_anywhere() ? steps : 1); ++first) {
      runs_.emplace(Key{steps, first}, Run{first_row, nullptr});
    }
  }
}

void Runs::capture_all() {
  for (auto& [key, run] : runs_) {
    if (key.second == 0) capture(key, run);
  }
}

void Runs::capture(const Key& key, Run& run) {
  if (!capture_ || run.graph != nullptr || run.failures == kTries) return;
  try {
    run.graph =
        std::make_unique<Graph>(stream_, [&] { stages_.enqueue(stream_, key.first, run.first_row, key.second); });
    ++captures_;
  } catch (const DeviceError& error) {
    if (error.fault() == Fault::fatal) throw;
    stream_.settle();
    ++run.failures;
    ++failed_captures_;
    last_failure_ = error.what();
  }
}

void Runs::enqueue(std::int64_t steps, std::int64_t first) {
  const auto found = runs_.find({steps, first});
  if (found == runs_.end()) {
    std::string known;
    for (const auto& [count, launches] : launches()) known += (known.empty() ? "" : ", ") + std::to_string(count);
    throw std::invalid_argument("steps: expected " + known + ", got " + std::to_string(steps) + " from step " +
                                std::to_string(first));
  }
  Run& run = found->second;
  capture(found->first, run);
  if (run.graph != nullptr) {
    run.graph->launch();
    ++graph_launches_;
  } else {
    stages_.enqueue(stream_, steps, run.first_row, first);
    if (capture_) ++fallbacks_;
  }
}

std::map<std::int64_t, std::int64_t> Runs::launches() const {
  std::map<std::int64_t, std::int64_t> launches;
  for (const auto& [key, run] : runs_) launches.emplace(key.first, stages_.launches(key.first));
  return launches;
}

}  // namespace fewstep::cuda

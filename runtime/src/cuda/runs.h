#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "cuda/graph.h"
#include "cuda/stages.h"

namespace fewstep::cuda {

// The runs of a plan: one for each of its step counts and each step it may begin with, captured as one graph.
//
// 1. All graphs use the same memory. One that begins later than with step 0 is captured when it is first asked for.
// 2. Where a capture fails, the same launches are made one by one; a later run tries again, three times in all. A
//    fatal error is thrown.
class Runs {
 public:
  Runs(Stream& stream, Stages& stages, const Plan& plan, bool capture);

  void capture_all();                                    // that begin with step 0
  void enqueue(std::int64_t steps, std::int64_t first);  // throws std::invalid_argument if the plan has no such run

  std::int64_t captures() const noexcept { return captures_; }
  std::int64_t failed_captures() const noexcept { return failed_captures_; }
  std::int64_t graph_launches() const noexcept { return graph_launches_; }
  std::int64_t fallbacks() const noexcept { return fallbacks_; }  // runs made one by one though a graph was asked for
  const std::string& last_failure() const noexcept { return last_failure_; }
  std::map<std::int64_t, std::int64_t> launches() const;  // of each count, from step 0

 private:
  struct Run {
    std::int64_t first_row;
    std::unique_ptr<Graph> graph;
    int failures = 0;
  };

  using Key = std::pair<std::int64_t, std::int64_t>;  // steps, first

  void capture(const Key& key, Run& run);

  Stream& stream_;
  Stages& stages_;
  bool capture_;
  std::map<Key, Run> runs_;
  std::int64_t captures_ = 0, failed_captures_ = 0, graph_launches_ = 0, fallbacks_ = 0;
  std::string last_failure_;
};

}  // namespace fewstep::cuda

#pragma once

#include <functional>

#include "cuda/stream.h"

namespace fewstep::cuda {

// What `record` puts into the stream, captured once and launched as a whole.
//
// 1. If record or the capture fails, the stream is as it was and nothing is left over.
class Graph {
 public:
  Graph(Stream& stream, const std::function<void()>& record);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch();

 private:
  Stream& stream_;
  ExecutableHandle executable_ = nullptr;
};

}  // namespace fewstep::cuda

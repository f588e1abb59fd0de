#include <utility>

#include "fake_cuda/api.h"
#include "fake_cuda/state.h"

// Streams and graphs.
using namespace fake_cuda;

namespace {

constexpr std::size_t kQueue = 4096;  // so that a steady state allocates nothing here either

template <typename T>
Result destroy(std::map<const void*, std::unique_ptr<T>>& objects, const void* handle, Result result,
               const char* function) {
  if (state().lost != 0) return result;
  if (objects.erase(handle) == 1) return result;
  state().violate(std::string(function) + " of what does not exist");
  return kInvalidHandle;
}

Stream* stream_of(const void* handle) {
  const auto found = state().streams.find(handle);
  return found == state().streams.end() ? nullptr : found->second.get();
}

}  // namespace

FAKE_CUDA_EXPORT Result cuStreamCreate(void** stream, unsigned flags) {
  if (const Result result = enter_outside("cuStreamCreate"); result != 0) return result;
  if (flags > 1) return kInvalidValue;
  auto made = std::make_unique<Stream>();
  made->queue.reserve(kQueue);
  *stream = made.get();
  state().streams.emplace(made.get(), std::move(made));
  return 0;
}

FAKE_CUDA_EXPORT Result cuStreamDestroy_v2(void* stream) {
  const Result result = enter_outside("cuStreamDestroy");
  if (const Stream* found = stream_of(stream); found != nullptr && state().lost == 0 && !found->queue.empty()) {
    state().violate("a stream destroyed that is at work");
  }
  return destroy(state().streams, stream, result, "cuStreamDestroy");
}

// The work is done even if the wait fails, unless the device was lost.
FAKE_CUDA_EXPORT Result cuStreamSynchronize(void* handle) {
  const Result result = enter_outside("cuStreamSynchronize");
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return result != 0 ? result : kInvalidHandle;
  if (result == kCaptureUnsupported) return result;
  if (state().lost == 0) {
    for (const Work& work : stream->queue) carry_out(work);
  }
  stream->queue.clear();
  return result;
}

FAKE_CUDA_EXPORT Result cuStreamBeginCapture_v2(void* handle, int mode) {
  if (const Result result = enter_context("cuStreamBeginCapture"); result != 0) return result;
  Stream* stream = stream_of(handle);
  if (stream == nullptr) return kInvalidHandle;
  if (stream->capture != nullptr || mode < 0 || mode > 2) return kInvalidValue;
  stream->capture = std::make_unique<Graph>();
  stream->invalidated = false;
  return 0;
}

// A capture ends here in any case; one that was invalidated, or that fails now, leaves no graph.
FAKE_CUDA_EXPORT Result cuStreamEndCapture(void* handle, void** graph) {
  Result result = enter_context("cuStreamEndCapture");
  Stream* stream = stream_of(handle);
  *graph = nullptr;
  if (stream == nullptr || stream->capture == nullptr) return result != 0 ? result : kInvalidValue;
  std::unique_ptr<Graph> captured = std::move(stream->capture);
  if (std::exchange(stream->invalidated, false) && result == 0) result = kCaptureInvalidated;
  if (result != 0) return result;
  *graph = captured.get();
  state().graphs.emplace(captured.get(), std::move(captured));
  return 0;
}

FAKE_CUDA_EXPORT Result cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long) {
  if (const Result result = enter_outside("cuGraphInstantiate"); result != 0) return result;
  State& s = state();
  const auto found = s.graphs.find(graph);
  if (found == s.graphs.end()) return kInvalidHandle;
  auto made = std::make_unique<Graph>(*found->second);
  *executable = made.get();
  s.executables.emplace(made.get(), std::move(made));
  return 0;
}

FAKE_CUDA_EXPORT Result cuGraphDestroy(void* graph) {
  const Result result = enter("cuGraphDestroy");
  return destroy(state().graphs, graph, result, "cuGraphDestroy");
}

FAKE_CUDA_EXPORT Result cuGraphUpload(void* executable, void* stream) {
  if (const Result result = enter_context("cuGraphUpload"); result != 0) return result;
  return state().executables.contains(executable) && stream_of(stream) != nullptr ? 0 : kInvalidHandle;
}

FAKE_CUDA_EXPORT Result cuGraphLaunch(void* executable, void* handle) {
  if (const Result result = enter_context("cuGraphLaunch"); result != 0) return result;
  const auto found = state().executables.find(executable);
  Stream* stream = stream_of(handle);
  if (found == state().executables.end() || stream == nullptr) return kInvalidHandle;
  for (const Work& work : found->second->nodes) {
    if (const Result result = submit(*stream, work); result != 0) return result;
  }
  return 0;
}

FAKE_CUDA_EXPORT Result cuGraphExecDestroy(void* executable) {
  const Result result = enter_outside("cuGraphExecDestroy");
  return destroy(state().executables, executable, result, "cuGraphExecDestroy");
}

#include "fake_cuda/state.h"

#include <cstdlib>
#include <utility>

namespace fake_cuda {
namespace {

bool is_lasting(Result error) {
  return error == 214 || error == 220 || error == 700 || (error >= 702 && error <= 719) || error == 999;
}

}  // namespace

State& state() {
  static State state;
  return state;
}

State::State() = default;

void State::drop_all() {
  for (const auto& [start, bytes] : device_memory) std::free(reinterpret_cast<void*>(start));
  for (const auto& [start, bytes] : host_memory) std::free(reinterpret_cast<void*>(start));
  device_memory.clear();
  pooled.clear();
  host_memory.clear();
  kernels.clear();
  modules.clear();
  streams.clear();
  graphs.clear();
  executables.clear();
  library.clear();
  current.clear();
  retained = 0;
  lost = 0;
}

bool State::capturing() const {
  for (const auto& [handle, stream] : streams) {
    if (stream->capture != nullptr) return true;
  }
  return false;
}

std::size_t State::used() const {
  std::size_t used = 0;
  for (const auto& [start, bytes] : device_memory) used += bytes;
  return used;
}

Result enter(const char* function) {
  State& s = state();
  ++s.calls;
  auto found = s.counts.find(function);
  if (found == s.counts.end()) found = s.counts.emplace(function, 0).first;
  ++found->second;
  if (s.lost != 0) return s.lost;
  if (s.refused == function) return s.refusal;
  if (s.calls != s.fail_at) return 0;
  s.injected = function;
  if (is_lasting(s.error)) s.lost = s.error;
  return s.error;
}

Result enter_context(const char* function) {
  const Result result = enter(function);
  if (!state().current.empty()) return result;
  state().violate(std::string(function) + " without a context");
  return kInvalidContext;
}

Result enter_outside(const char* function) {
  const Result result = enter_context(function);
  State& s = state();
  if (!s.capturing()) return result;
  s.violate(std::string(function) + " during a capture");
  for (auto& [handle, stream] : s.streams) stream->invalidated = stream->capture != nullptr;
  return kCaptureUnsupported;
}

bool inside(const std::map<std::uintptr_t, std::size_t>& memory, std::uintptr_t start, std::size_t bytes) {
  auto after = memory.upper_bound(start);
  if (after == memory.begin()) return false;
  --after;
  return start - after->first <= after->second && bytes <= after->second - (start - after->first);
}

Result submit(Stream& stream, Work work) {
  if (stream.invalidated) return kCaptureInvalidated;
  (stream.capture != nullptr ? stream.capture->nodes : stream.queue).push_back(std::move(work));
  return 0;
}

void reset(const Settings& settings) {
  State& s = state();
  s.drop_all();
  s.settings = settings;
  s.violations.clear();
  s.launches.clear();
  refuse("", 0);
  inject(0, 0);
}

void inject(long call, int error) {
  State& s = state();
  s.calls = 0;
  s.counts.clear();
  s.fail_at = call;
  s.error = error;
  s.injected.clear();
}

void refuse(const std::string& function, int error) {
  state().refused = function;
  state().refusal = error;
}

long calls() { return state().calls; }
const std::string& injected() { return state().injected; }
long count(const std::string& function) {
  const auto found = state().counts.find(function);
  return found == state().counts.end() ? 0 : found->second;
}
std::size_t live() {
  const State& s = state();
  return s.device_memory.size() + s.host_memory.size() + s.modules.size() + s.streams.size() + s.graphs.size() +
         s.executables.size() + s.library.size() + static_cast<std::size_t>(s.retained);
}
std::size_t device_bytes() { return state().used(); }
const std::vector<std::string>& violations() { return state().violations; }
const std::vector<LaunchRecord>& launches() { return state().launches; }

}  // namespace fake_cuda

#include <cstdlib>
#include <cstring>

#include "fake_cuda/api.h"
#include "fake_cuda/state.h"

// Memory and copies.
using namespace fake_cuda;
using fewstep::cuda::Address;
using fewstep::cuda::Copy2d;

namespace {

std::uintptr_t number(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

// Fresh memory holds NaN, as floats of any width.
void* allocate(std::size_t bytes) {
  void* data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(data, 0xff, bytes);
  return data;
}

Result give_back(std::map<std::uintptr_t, std::size_t>& memory, std::uintptr_t start, const char* function) {
  const Result result = enter_outside(function);
  State& s = state();
  if (s.lost != 0) return result;
  const auto found = memory.find(start);
  if (found == memory.end() || s.pooled.contains(start)) {
    s.violate(std::string(function) + " of what was not allocated");
    return kInvalidValue;
  }
  for (const auto& [handle, stream] : s.streams) {
    if (!stream->queue.empty()) s.violate(std::string(function) + " while the stream is at work");
  }
  std::free(reinterpret_cast<void*>(start));
  memory.erase(found);
  return result;
}

Result copy(const char* function, const Copy2d& rows, const void* stream) {
  if (const Result result = enter_context(function); result != 0) return result;
  State& s = state();
  const auto found = s.streams.find(stream);
  if (found == s.streams.end()) return kInvalidHandle;
  const bool to_device = rows.target_type == 2;
  const std::uintptr_t host = number(to_device ? rows.source_host : rows.target_host);
  const Address device = to_device ? rows.target_device : rows.source_device;
  const std::size_t host_pitch = to_device ? rows.source_pitch : rows.target_pitch;
  const std::size_t device_pitch = to_device ? rows.target_pitch : rows.source_pitch;
  if (rows.height == 0 || rows.width == 0 || host_pitch < rows.width || device_pitch < rows.width) return kInvalidValue;
  if (!inside(s.host_memory, host, (rows.height - 1) * host_pitch + rows.width)) {
    s.violate(std::string(function) + ": the host's side is not pinned");
  }
  if (!inside(s.device_memory, device, (rows.height - 1) * device_pitch + rows.width)) {
    s.violate(std::string(function) + ": the device's side is not allocated");
    return kInvalidValue;
  }
  return submit(*found->second, {.kernel = nullptr, .params = nullptr, .copy = rows, .freed = 0, .product = nullptr});
}

Copy2d linear(std::size_t bytes) {
  Copy2d rows{};
  rows.width = rows.source_pitch = rows.target_pitch = bytes;
  rows.height = 1;
  return rows;
}

}  // namespace

FAKE_CUDA_EXPORT Result cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  if (const Result result = enter_context("cuMemGetInfo"); result != 0) return result;
  *total = state().settings.memory;
  *free = *total - state().used();
  return 0;
}

FAKE_CUDA_EXPORT Result cuMemAlloc_v2(Address* address, std::size_t bytes) {
  if (const Result result = enter_outside("cuMemAlloc"); result != 0) return result;
  State& s = state();
  if (bytes == 0) return kInvalidValue;
  if (bytes > s.settings.memory - s.used()) return kOutOfMemory;
  *address = number(allocate(bytes));
  s.device_memory.emplace(*address, bytes);
  return 0;
}

FAKE_CUDA_EXPORT Result cuMemFree_v2(Address address) { return give_back(state().device_memory, address, "cuMemFree"); }

// The memory is there at once; it goes when the stream comes to that.
FAKE_CUDA_EXPORT Result cuMemAllocAsync(Address* address, std::size_t bytes, void* stream) {
  if (const Result result = enter_outside("cuMemAllocAsync"); result != 0) return result;
  State& s = state();
  if (bytes == 0 || !s.settings.pools) return kInvalidValue;
  if (!s.streams.contains(stream)) return kInvalidHandle;
  if (bytes > s.settings.memory - s.used()) return kOutOfMemory;
  *address = number(allocate(bytes));
  s.device_memory.emplace(*address, bytes);
  s.pooled.insert(*address);
  return 0;
}

FAKE_CUDA_EXPORT Result cuMemFreeAsync(Address address, void* stream) {
  const Result result = enter_outside("cuMemFreeAsync");
  State& s = state();
  if (s.lost != 0) return result;
  const auto found = s.streams.find(stream);
  if (found == s.streams.end() || s.pooled.erase(address) == 0) {
    s.violate("cuMemFreeAsync of what was not allocated, or into no stream");
    return kInvalidValue;
  }
  submit(*found->second, {.kernel = nullptr, .params = nullptr, .copy = {}, .freed = address, .product = nullptr});
  return result;
}

FAKE_CUDA_EXPORT Result cuMemHostAlloc(void** data, std::size_t bytes, unsigned) {
  if (const Result result = enter_outside("cuMemHostAlloc"); result != 0) return result;
  if (bytes == 0) return kInvalidValue;
  *data = allocate(bytes);
  state().host_memory.emplace(number(*data), bytes);
  return 0;
}

FAKE_CUDA_EXPORT Result cuMemFreeHost(void* data) {
  return give_back(state().host_memory, number(data), "cuMemFreeHost");
}

FAKE_CUDA_EXPORT Result cuMemcpyHtoDAsync_v2(Address target, const void* source, std::size_t bytes, void* stream) {
  Copy2d rows = linear(bytes);
  rows.source_type = 1;
  rows.source_host = source;
  rows.target_type = 2;
  rows.target_device = target;
  return copy("cuMemcpyHtoDAsync", rows, stream);
}

FAKE_CUDA_EXPORT Result cuMemcpyDtoHAsync_v2(void* target, Address source, std::size_t bytes, void* stream) {
  Copy2d rows = linear(bytes);
  rows.source_type = 2;
  rows.source_device = source;
  rows.target_type = 1;
  rows.target_host = target;
  return copy("cuMemcpyDtoHAsync", rows, stream);
}

FAKE_CUDA_EXPORT Result cuMemcpy2DAsync_v2(const Copy2d* rows, void* stream) {
  return copy("cuMemcpy2DAsync", *rows, stream);
}

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cuda/abi.h"
#include "fake_cuda/fake_cuda.h"
#include "fake_cuda/image.h"

namespace fake_cuda {

using Result = int;
using Bytes = std::vector<std::byte>;

constexpr Result kInvalidValue = 1, kOutOfMemory = 2, kNoDevice = 100, kInvalidDevice = 101, kInvalidImage = 200,
                 kInvalidContext = 201, kNoBinary = 209, kInvalidPtx = 218, kUnsupportedPtx = 222, kInvalidHandle = 400,
                 kNotFound = 500, kLaunchOutOfResources = 701, kCaptureUnsupported = 900, kCaptureInvalidated = 901,
                 kInvalidCluster = 912;

struct Kernel {
  std::string name;
  KernelInfo info;
  unsigned allowed_shared = 48 * 1024;
  bool wide_cluster = false;
};

struct Module {
  Image image;
  std::map<std::string, Kernel> kernels;
};

// A descriptor, a layout or a preference of cuBLASLt: what it was made with, and its attributes.
struct LibraryObject {
  std::string kind;
  std::vector<std::int64_t> made;
  std::map<int, std::int64_t> attributes;
};

// A product that the library was asked for: of columns that follow each other, d (m, n) of a (m, k) and b (k, n).
struct LibraryProduct {
  LibraryObject product, a, b, d;
  std::uintptr_t a_start, b_start, d_start;
  float alpha;
};

// One launch, one copy, a library's product, or memory given back.
struct Work {
  const Kernel* kernel = nullptr;
  std::shared_ptr<const Bytes> params;
  fewstep::cuda::Copy2d copy{};
  std::uintptr_t freed = 0;  // memory of the pool
  std::shared_ptr<const LibraryProduct> product;
};

struct Graph {
  std::vector<Work> nodes;
};

struct Stream {
  std::vector<Work> queue;
  std::unique_ptr<Graph> capture;  // while it captures
  bool invalidated = false;
};

struct State {
  Settings settings;
  long calls = 0, fail_at = 0;
  Result error = 0, lost = 0;
  std::string injected, refused;
  Result refusal = 0;
  std::map<std::string, long, std::less<>> counts;
  std::vector<std::string> violations;
  std::vector<LaunchRecord> launches;

  int retained = 0;
  std::vector<const void*> current;
  std::map<std::uintptr_t, std::size_t> device_memory, host_memory;  // start -> bytes
  std::set<std::uintptr_t> pooled;                                   // of the device's memory
  std::set<const void*> kernels;
  std::map<const void*, std::unique_ptr<Module>> modules;
  std::map<const void*, std::unique_ptr<Stream>> streams;
  std::map<const void*, std::unique_ptr<Graph>> graphs, executables;
  std::map<const void*, std::unique_ptr<LibraryObject>> library;

  State();
  ~State() { drop_all(); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void violate(const std::string& what) { violations.push_back(what); }
  bool capturing() const;
  void drop_all();
  std::size_t used() const;
};

State& state();

// Each function begins with enter: it counts, and returns the error that the call must give. enter_context is for those
// that need the context, enter_outside also for what no capture allows.
Result enter(const char* function);
Result enter_context(const char* function);
Result enter_outside(const char* function);

bool inside(const std::map<std::uintptr_t, std::size_t>& memory, std::uintptr_t start, std::size_t bytes);
Result submit(Stream& stream, Work work);
void carry_out(const Work& work);
void run_kernel(const Kernel& kernel, const Bytes& params);
void run_product(const LibraryProduct& product);

}  // namespace fake_cuda

#pragma once

#include <cstddef>
#include <cstdint>

// What of the driver's binary interface is used, declared anew: nothing of CUDA is needed to build. A test compares it
// with the driver's own header.
namespace fewstep::cuda {

using Result = int;
using DeviceHandle = int;
using Address = std::uint64_t;  // on the device
using ContextHandle = struct ContextObject*;
using ModuleHandle = struct ModuleObject*;
using FunctionHandle = struct FunctionObject*;
using StreamHandle = struct StreamObject*;
using GraphHandle = struct GraphObject*;
using ExecutableHandle = struct ExecutableObject*;

struct alignas(128) EncodedTensorMap {
  std::uint64_t words[16];
};

struct LaunchAttribute {
  int id;
  char padding[4];
  union alignas(8) {
    char bytes[64];
    unsigned cluster[3];
    int policy;
  } value;
};

struct LaunchConfig {
  unsigned grid[3], block[3], shared;
  StreamHandle stream;
  LaunchAttribute* attributes;
  unsigned attribute_count;
};

struct Copy2d {
  std::size_t source_x, source_y;
  int source_type;
  const void* source_host;
  Address source_device;
  void* source_array;
  std::size_t source_pitch;
  std::size_t target_x, target_y;
  int target_type;
  void* target_host;
  Address target_device;
  void* target_array;
  std::size_t target_pitch;
  std::size_t width, height;
};

constexpr int kMemoryHost = 1, kMemoryDevice = 2;

constexpr int kComputeCapabilityMajor = 75, kComputeCapabilityMinor = 76, kSharedPerBlockOptin = 97,
              kMemoryPoolsSupported = 115;  // of a device

// Of a function.
constexpr int kMaxThreadsPerBlock = 0, kStaticShared = 1, kMaxDynamicShared = 8, kNonPortableCluster = 14;

constexpr int kClusterDimension = 4, kClusterPolicy = 5, kSpread = 1;  // of a launch

constexpr int kErrorLog = 5, kErrorLogBytes = 6;  // of compiling PTX

constexpr unsigned kStreamNonBlocking = 1;
constexpr int kCaptureThreadLocal = 1;

constexpr int kInterleaveNone = 0, kPromotion128 = 2, kFillNone = 0, kFillNan = 1;  // of a tensor map

}  // namespace fewstep::cuda

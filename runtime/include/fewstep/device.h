#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "fewstep/plan.h"

namespace fewstep {

// Bytes that take the place of a weight's: as many, of its type.
struct Replacement {
  std::int32_t weight = -1;
  std::span<const std::byte> bytes;
};

// Where a plan runs: its arena, weights and kernels, prepared once.
//
// 1. write, replace, run and read follow each other on one thread at a time; Program serialises them.
// 2. run executes the plan's stages for N steps (1 for a network), of which those before `first` are left out: 0
//    unless the plan begins anywhere. It allocates nothing, but for a GPU's graph of another `first` when that is first
//    asked for, and throws DeviceError.
// 3. After Fault::fatal every call throws the same error.
class Device {
 public:
  virtual ~Device() = default;
  virtual void write(std::int32_t value, std::span<const std::byte> data) = 0;  // contiguous, of an input's view
  virtual void prepare() = 0;  // runs the stage "tables", after its inputs were written
  virtual void replace(std::span<const Replacement> weights) = 0;  // of Plan::replaceable; prepare comes after it
  virtual void run(std::int64_t steps, std::int64_t first) = 0;
  virtual void read(std::int32_t value, std::span<std::byte> data) = 0;
  virtual std::string describe() const = 0;  // JSON: what it is, what it chose, what it counts
};

struct CpuOptions {
  int threads = 1;  // at least 1
};
std::unique_ptr<Device> make_cpu_device(std::shared_ptr<const Plan> plan, const CpuOptions& options);

struct CudaOptions {
  int index = 0;
  std::string driver = "libcuda.so.1";
  std::string blaslt = "";  // cuBLASLt, for plans that use it; empty: libcublasLt.so.13, or .12
  bool graph = true;        // false: launch one by one
};
std::unique_ptr<Device> make_cuda_device(std::shared_ptr<const Plan> plan, const CudaOptions& options);

// "cpu", "cuda", or "auto" for the one the plan was compiled for, with those of its options. Throws
// std::invalid_argument for another name, PlanError for a plan of the other device.
struct DeviceOptions {
  std::string name = "auto";
  CpuOptions cpu;
  CudaOptions cuda;
};
std::unique_ptr<Device> make_device(std::shared_ptr<const Plan> plan, const DeviceOptions& options);

}  // namespace fewstep

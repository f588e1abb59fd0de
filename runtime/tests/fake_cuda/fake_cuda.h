#pragma once

#include <cstddef>
#include <string>
#include <vector>

// A driver for tests: it has the functions of libcuda that the device uses, and the host's memory for its own.
//
// 1. What a stream is given happens when the stream is waited for, no sooner, as on a device.
// 2. Launches are checked against the cubin; add_kernel, step_kernel and sum_kernel are also carried out.
// 3. Whatever a driver would not forgive, and what is illegal during a capture, is a violation.
// 4. cuBLASLt is in it too, for products of single precision.
// 5. After an error of the device every call but the context's release returns it.
namespace fake_cuda {

struct Settings {
  int version = 13000, devices = 1, major = 9, minor = 0, shared = 227 * 1024;
  std::size_t memory = std::size_t{1} << 30;
  bool pools = true;
  int algorithms = 1, algorithm_state = 0;  // that cuBLASLt finds
};

struct LaunchRecord {
  std::string entry;
  unsigned grid[3], threads, shared, cluster;
  std::vector<std::byte> params;  // as the kernel sees them, at the cubin's offsets
  bool captured;
};

#define FAKE_CUDA_API __attribute__((visibility("default")))

FAKE_CUDA_API void reset(const Settings& settings = {});            // forgets everything
FAKE_CUDA_API void inject(long call, int error);                    // into the call-th from now on; 0: into none
FAKE_CUDA_API void refuse(const std::string& function, int error);  // at every call, until another is named
FAKE_CUDA_API long calls();                                         // since reset or inject
FAKE_CUDA_API const std::string& injected();                        // into which function; empty before
FAKE_CUDA_API long count(const std::string& function);
FAKE_CUDA_API std::size_t live();  // objects, blocks of memory and contexts
FAKE_CUDA_API std::size_t device_bytes();
FAKE_CUDA_API const std::vector<std::string>& violations();
FAKE_CUDA_API const std::vector<LaunchRecord>& launches();

}  // namespace fake_cuda

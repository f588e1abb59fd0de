#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fewstep {

// What an image says of one of its kernels. Every byte of an image is a stranger's.
struct ImageKernel {
  std::vector<std::int64_t> params;       // the size of each, in order
  std::int64_t shared = 0;                // static bytes of each block
  std::int64_t threads = 0, cluster = 0;  // what a launch must have; 0: it does not say
  std::int64_t most_threads = 1024;
};

// Reads the sections of an ELF image for an NVIDIA GPU. Throws PlanError.
ImageKernel read_cubin(std::span<const std::byte> image, std::string_view entry);

// Reads PTX of one kernel for an architecture and those after it: text that ends with a zero, of a version that the
// driver of CUDA 12.0 compiles. Throws PlanError.
ImageKernel read_ptx(std::span<const std::byte> image, std::string_view entry, std::int64_t architecture);

}  // namespace fewstep

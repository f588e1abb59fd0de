#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fewstep {

// What an image says of one of its kernels.
struct CubinKernel {
  std::vector<std::int64_t> params;  // the size of each, in order
  std::int64_t shared = 0;           // static bytes of each block
};

// Reads the sections of an ELF image for an NVIDIA GPU: every offset is a stranger's. Throws PlanError.
CubinKernel read_cubin(std::span<const std::byte> image, std::string_view entry);

}  // namespace fewstep

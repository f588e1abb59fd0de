#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace fake_cuda {

struct ParamInfo {
  std::size_t offset = 0, size = 0;
};

// What a cubin says of one of its kernels.
struct KernelInfo {
  std::vector<ParamInfo> params;
  unsigned threads = 0, static_shared = 0;
};

struct Image {
  int architecture = 0;
  std::map<std::string, KernelInfo> kernels;
};

std::optional<Image> read_image(const std::byte* data);  // of an ELF file; nothing if it is none

}  // namespace fake_cuda

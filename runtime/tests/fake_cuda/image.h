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
  int ptx_version = 0;  // 80 for 8.0; 0 of a cubin
  std::map<std::string, KernelInfo> kernels;
};

std::optional<Image> read_image(const std::byte* data);  // of an ELF file; nothing if it is none
std::optional<Image> read_ptx(const char* text);         // of PTX, by what Triton writes; nothing if it is none

}  // namespace fake_cuda

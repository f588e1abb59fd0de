#include <cstdio>
#include <sstream>

#include "fake_cuda/image.h"

namespace fake_cuda {
namespace {

// Of "\t.param .u64 .ptr .global .align 1 kernel_param_0," the 8 bytes of .u64, which is the second word.
std::size_t param_size(const std::string& line) {
  unsigned bits = 0;
  char kind = 0;
  return std::sscanf(line.c_str(), " .param .%c%u", &kind, &bits) == 2 ? bits / 8 : 0;
}

}  // namespace

std::optional<Image> read_ptx(const char* text) {
  std::istringstream lines(text);
  std::string line;
  Image image;
  KernelInfo* kernel = nullptr;
  std::size_t end = 0;
  while (std::getline(lines, line)) {
    int major = 0, minor = 0;
    char name[256] = {};
    if (std::sscanf(line.c_str(), ".version %d.%d", &major, &minor) == 2) image.ptx_version = 10 * major + minor;
    if (std::sscanf(line.c_str(), ".visible .entry %255[^(]", name) == 1) kernel = &image.kernels[name];
    std::sscanf(line.c_str(), ".target sm_%d", &image.architecture);
    if (kernel == nullptr) continue;
    std::sscanf(line.c_str(), ".reqntid %u", &kernel->threads);
    const std::size_t size = param_size(line);
    if (size == 0) continue;
    end = (end + size - 1) / size * size;
    kernel->params.push_back({end, size});
    end += size;
  }
  if (image.ptx_version == 0 || image.architecture == 0 || kernel == nullptr) return std::nullopt;
  return image;
}

}  // namespace fake_cuda

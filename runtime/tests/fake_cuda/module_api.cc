#include <algorithm>
#include <cstring>

#include "fake_cuda/api.h"
#include "fake_cuda/state.h"

// Modules, functions, tensor maps and launches.
using namespace fake_cuda;
using fewstep::cuda::EncodedTensorMap;
using fewstep::cuda::LaunchConfig;

namespace {

constexpr unsigned kMostThreads = 1024, kPortableCluster = 8;

Kernel* kernel_of(void* handle) { return state().kernels.contains(handle) ? static_cast<Kernel*>(handle) : nullptr; }

unsigned cluster_of(const LaunchConfig& config) {
  unsigned cluster = 1;
  for (unsigned i = 0; i < config.attribute_count; ++i) {
    if (config.attributes[i].id == fewstep::cuda::kClusterDimension) cluster = config.attributes[i].value.cluster[0];
  }
  return cluster;
}

Result check_limits(const Kernel& kernel, const LaunchConfig& config, unsigned cluster) {
  const unsigned* grid = config.grid;
  if (grid[0] == 0 || grid[0] > 0x7fffffff || grid[1] == 0 || grid[1] > 65535 || grid[2] == 0 || grid[2] > 65535) {
    return kInvalidValue;
  }
  if (config.block[0] == 0 || config.block[0] > kMostThreads || config.block[1] != 1 || config.block[2] != 1) {
    return kInvalidValue;
  }
  if (kernel.info.threads != 0 && config.block[0] != kernel.info.threads) return kInvalidValue;
  if (config.shared + kernel.info.static_shared > std::max(kernel.allowed_shared + kernel.info.static_shared, 49152u)) {
    return kInvalidValue;
  }
  if (cluster == 0 || grid[0] % cluster != 0 || (cluster > kPortableCluster && !kernel.wide_cluster)) {
    return kInvalidCluster;
  }
  return 0;
}

// Reads as many bytes of each as the kernel takes: a sanitizer sees what was not handed over.
std::shared_ptr<Bytes> pack(const Kernel& kernel, void** params) {
  auto packed = std::make_shared<Bytes>();
  for (std::size_t i = 0; i < kernel.info.params.size(); ++i) {
    const ParamInfo& param = kernel.info.params[i];
    packed->resize(std::max(packed->size(), param.offset + param.size));
    std::memcpy(packed->data() + param.offset, params[i], param.size);
    const bool is_map = param.size == sizeof(EncodedTensorMap);
    if (reinterpret_cast<std::uintptr_t>(params[i]) % (is_map ? 64 : param.size) != 0) {
      state().violate(kernel.name + ": parameter " + std::to_string(i) + " is not aligned");
    }
  }
  return packed;
}

int own_architecture() { return 10 * state().settings.major + state().settings.minor; }

Result check_cubin(const Image& image) {
  const int own = own_architecture();
  const bool older = image.architecture < own && image.architecture / 10 == own / 10 && own < 90;
  return image.architecture == own || older ? 0 : kNoBinary;
}

// CUDA 12.0 compiles PTX 8.0, 13.0 compiles 9.0.
Result check_ptx(const Image& image) {
  const int version = state().settings.version;
  if (image.ptx_version > (version / 1000 - 4) * 10 + version % 1000 / 10) return kUnsupportedPtx;
  return image.architecture <= own_architecture() ? 0 : kNoBinary;
}

bool has_code(const char* text) { return std::strstr(text, "ret;") != nullptr; }

void write_log(const std::string& log, unsigned count, const int* options, void** values) {
  char* buffer = nullptr;
  std::size_t room = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] == fewstep::cuda::kErrorLog) buffer = static_cast<char*>(values[i]);
    if (options[i] == fewstep::cuda::kErrorLogBytes) room = reinterpret_cast<std::size_t>(values[i]);
  }
  if (buffer != nullptr) std::strncpy(buffer, log.c_str(), room);
}

}  // namespace

FAKE_CUDA_EXPORT Result cuModuleLoadDataEx(void** module, const void* data, unsigned count, int* options,
                                           void** values) {
  if (const Result result = enter_outside("cuModuleLoadDataEx"); result != 0) return result;
  State& s = state();
  std::optional<Image> image = read_image(static_cast<const std::byte*>(data));
  if (!image) {
    image = read_ptx(static_cast<const char*>(data));
    if (!image) return kInvalidImage;
    if (!has_code(static_cast<const char*>(data))) {
      write_log("ptxas application ptx input, line 8; fatal   : a kernel without code\nptxas fatal   : aborted\n",
                count, options, values);
      return kInvalidPtx;
    }
  }
  if (const Result result = image->ptx_version == 0 ? check_cubin(*image) : check_ptx(*image); result != 0) {
    return result;
  }
  auto made = std::make_unique<Module>();
  made->image = *image;
  *module = made.get();
  s.modules.emplace(made.get(), std::move(made));
  return 0;
}

FAKE_CUDA_EXPORT Result cuModuleUnload(void* module) {
  const Result result = enter_outside("cuModuleUnload");
  State& s = state();
  if (s.lost != 0) return result;
  const auto found = s.modules.find(module);
  if (found == s.modules.end()) {
    s.violate("a module unloaded that is not");
    return kInvalidHandle;
  }
  for (const auto& [name, kernel] : found->second->kernels) s.kernels.erase(&kernel);
  s.modules.erase(found);
  return result;
}

FAKE_CUDA_EXPORT Result cuModuleGetFunction(void** function, void* module, const char* name) {
  if (const Result result = enter_outside("cuModuleGetFunction"); result != 0) return result;
  State& s = state();
  const auto found = s.modules.find(module);
  if (found == s.modules.end()) return kInvalidHandle;
  const auto info = found->second->image.kernels.find(name);
  if (info == found->second->image.kernels.end()) return kNotFound;
  Kernel& kernel = found->second->kernels.try_emplace(name, Kernel{name, info->second}).first->second;
  s.kernels.insert(&kernel);
  *function = &kernel;
  return 0;
}

FAKE_CUDA_EXPORT Result cuFuncGetAttribute(int* value, int attribute, void* function) {
  if (const Result result = enter_context("cuFuncGetAttribute"); result != 0) return result;
  const Kernel* kernel = kernel_of(function);
  if (kernel == nullptr) return kInvalidHandle;
  if (attribute != fewstep::cuda::kMaxThreadsPerBlock && attribute != fewstep::cuda::kStaticShared) {
    return kInvalidValue;
  }
  const bool threads = attribute == fewstep::cuda::kMaxThreadsPerBlock;
  *value = static_cast<int>(threads ? (kernel->info.threads != 0 ? kernel->info.threads : kMostThreads)
                                    : kernel->info.static_shared);
  return 0;
}

FAKE_CUDA_EXPORT Result cuFuncSetAttribute(void* function, int attribute, int value) {
  if (const Result result = enter_outside("cuFuncSetAttribute"); result != 0) return result;
  Kernel* kernel = kernel_of(function);
  if (kernel == nullptr) return kInvalidHandle;
  if (attribute == fewstep::cuda::kNonPortableCluster) {
    kernel->wide_cluster = value != 0;
    return 0;
  }
  const int most = state().settings.shared - static_cast<int>(kernel->info.static_shared);
  if (attribute != fewstep::cuda::kMaxDynamicShared || value < 0 || value > most) return kInvalidValue;
  kernel->allowed_shared = static_cast<unsigned>(value);
  return 0;
}

FAKE_CUDA_EXPORT Result cuTensorMapEncodeTiled(EncodedTensorMap* map, int type, unsigned rank, void* address,
                                               const std::uint64_t* shape, const std::uint64_t* strides,
                                               const unsigned* box, const unsigned* element_strides, int interleave,
                                               int swizzle, int promotion, int fill) {
  if (const Result result = enter_context("cuTensorMapEncodeTiled"); result != 0) return result;
  if (reinterpret_cast<std::uintptr_t>(map) % 64 != 0) state().violate("a tensor map's place is not aligned to 64");
  if (rank == 0 || rank > 5 || reinterpret_cast<std::uintptr_t>(address) % 16 != 0) return kInvalidValue;
  if (interleave != 0 || promotion != 2 || fill > 1 || swizzle > 3 || type > 12) return kInvalidValue;
  *map = {};
  map->words[0] = reinterpret_cast<std::uintptr_t>(address);
  map->words[1] = rank | static_cast<std::uint64_t>(type) << 8 | static_cast<std::uint64_t>(swizzle) << 16 |
                  static_cast<std::uint64_t>(fill) << 24;
  for (unsigned i = 0; i < rank; ++i) {
    if (box[i] == 0 || box[i] > 256 || element_strides[i] != 1 || shape[i] == 0) return kInvalidValue;
    if (i + 1 < rank && strides[i] % 16 != 0) return kInvalidValue;
    map->words[2 + i] = shape[i] | static_cast<std::uint64_t>(box[i]) << 40;
    if (i + 1 < rank) map->words[7 + i] = strides[i];
  }
  return 0;
}

FAKE_CUDA_EXPORT Result cuLaunchKernelEx(const LaunchConfig* config, void* function, void** params, void** extra) {
  if (const Result result = enter_context("cuLaunchKernelEx"); result != 0) return result;
  State& s = state();
  const Kernel* kernel = kernel_of(function);
  const auto stream = s.streams.find(config->stream);
  if (kernel == nullptr || stream == s.streams.end() || extra != nullptr) return kInvalidHandle;
  const unsigned cluster = cluster_of(*config);
  if (const Result result = check_limits(*kernel, *config, cluster); result != 0) return result;
  const std::shared_ptr<Bytes> packed = pack(*kernel, params);
  const bool captured = stream->second->capture != nullptr;
  const Result result =
      submit(*stream->second, {.kernel = kernel, .params = packed, .copy = {}, .freed = 0, .product = nullptr});
  if (result == 0) {
    const unsigned* grid = config->grid;
    s.launches.push_back(
        {kernel->name, {grid[0], grid[1], grid[2]}, config->block[0], config->shared, cluster, *packed, captured});
  }
  return result;
}

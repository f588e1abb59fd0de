#include "cuda/driver.h"

#include <dlfcn.h>

#include <memory>

#include "cuda/fault.h"

namespace fewstep::cuda {
namespace {

constexpr int kOldestVersion = 12000;  // tensor maps

std::string of_version(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

struct Loader {
  const std::string& path;
  void* library;

  template <typename F>
  void operator()(F*& function, const char* name) const {
    function = reinterpret_cast<F*>(dlsym(library, name));
    if (function != nullptr) return;
    throw DeviceError(Fault::unavailable, path + ": expected the driver of CUDA " + of_version(kOldestVersion) +
                                              " or later, got a library without " + name +
                                              ": install a newer NVIDIA driver");
  }
};

void load_all(const Loader& load, Functions& f) {
  load(f.get_error_name, "cuGetErrorName");
  load(f.device_get, "cuDeviceGet");
  load(f.device_get_name, "cuDeviceGetName");
  load(f.device_get_attribute, "cuDeviceGetAttribute");
  load(f.primary_retain, "cuDevicePrimaryCtxRetain");
  load(f.primary_release, "cuDevicePrimaryCtxRelease_v2");
  load(f.push_current, "cuCtxPushCurrent_v2");
  load(f.pop_current, "cuCtxPopCurrent_v2");
  load(f.mem_get_info, "cuMemGetInfo_v2");
  load(f.mem_alloc, "cuMemAlloc_v2");
  load(f.mem_free, "cuMemFree_v2");
  load(f.mem_alloc_async, "cuMemAllocAsync");
  load(f.mem_free_async, "cuMemFreeAsync");
  load(f.mem_host_alloc, "cuMemHostAlloc");
  load(f.mem_free_host, "cuMemFreeHost");
  load(f.copy_to_device, "cuMemcpyHtoDAsync_v2");
  load(f.copy_to_host, "cuMemcpyDtoHAsync_v2");
  load(f.copy_2d, "cuMemcpy2DAsync_v2");
  load(f.module_load_data, "cuModuleLoadDataEx");
  load(f.module_unload, "cuModuleUnload");
  load(f.module_get_function, "cuModuleGetFunction");
  load(f.func_get_attribute, "cuFuncGetAttribute");
  load(f.func_set_attribute, "cuFuncSetAttribute");
  load(f.launch_kernel, "cuLaunchKernelEx");
  load(f.tensor_map_encode, "cuTensorMapEncodeTiled");
  load(f.stream_create, "cuStreamCreate");
  load(f.stream_destroy, "cuStreamDestroy_v2");
  load(f.stream_synchronize, "cuStreamSynchronize");
  load(f.stream_begin_capture, "cuStreamBeginCapture_v2");
  load(f.stream_end_capture, "cuStreamEndCapture");
  load(f.graph_instantiate, "cuGraphInstantiateWithFlags");
  load(f.graph_destroy, "cuGraphDestroy");
  load(f.graph_upload, "cuGraphUpload");
  load(f.graph_launch, "cuGraphLaunch");
  load(f.graph_exec_destroy, "cuGraphExecDestroy");
}

struct Close {
  void operator()(void* library) const { dlclose(library); }
};

}  // namespace

Driver::Driver(const std::string& path) {
  // A driver keeps threads of its own: it is never unmapped.
  std::unique_ptr<void, Close> library(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE));
  if (library == nullptr) {
    throw DeviceError(Fault::unavailable,
                      std::string("no NVIDIA driver: ") + dlerror() + ": install it, or run the plan's CPU version");
  }
  const Loader load{path, library.get()};
  load(functions_.init, "cuInit");
  load(functions_.driver_get_version, "cuDriverGetVersion");
  if (const Result result = functions_.driver_get_version(&version_); result != 0) fail(result, "cuDriverGetVersion");
  if (version_ < kOldestVersion) {
    throw DeviceError(Fault::unavailable, path + ": expected the driver of CUDA " + of_version(kOldestVersion) +
                                              " or later, got CUDA " + of_version(version_) +
                                              ": install a newer NVIDIA driver");
  }
  load_all(load, functions_);
  check(functions_.init(0), "cuInit");
  library_ = library.release();
}

Driver::~Driver() { dlclose(library_); }

void Driver::fail(Result result, const std::string& call) {
  const char* name = nullptr;
  if (functions_.get_error_name == nullptr || functions_.get_error_name(result, &name) != 0 || name == nullptr) {
    name = "an error that the driver has no name for";
  }
  const std::string message = call + ": " + name + " (" + std::to_string(result) + ")";
  const Fault fault = fault_of(result);
  if (fault == Fault::fatal && death_.empty()) death_ = message + ": the device's context is lost, start a new process";
  throw DeviceError(fault, fault == Fault::fatal ? death_ : message);
}

void Driver::refuse_if_dead() const {
  if (dead()) throw DeviceError(Fault::fatal, death_);
}

}  // namespace fewstep::cuda

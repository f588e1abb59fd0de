#include "cuda/blaslt.h"

#include <dlfcn.h>

#include <vector>

#include "fewstep/error.h"

namespace fewstep::cuda {
namespace {

constexpr int kCuda13 = 13000;
constexpr const char* kAdvice =
    ": install it (pip install nvidia-cublas-cu12, its folder lib in LD_LIBRARY_PATH), or compile the plan with "
    "--matmul triton";

struct Loader {
  const std::string& path;
  void* library;

  template <typename F>
  void operator()(F*& function, const char* name) const {
    function = reinterpret_cast<F*>(dlsym(library, name));
    if (function == nullptr) {
      throw DeviceError(Fault::unavailable,
                        path + ": expected cuBLASLt of CUDA 12 or 13, got a library without " + name + kAdvice);
    }
  }
};

// It keeps threads and kernels of its own: it is never unmapped.
Loader opened(const std::vector<std::string>& paths) {
  std::string said;
  for (const std::string& path : paths) {
    if (void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) return {path, library};
    said += (said.empty() ? "" : "; ") + std::string(dlerror());
  }
  throw DeviceError(Fault::unavailable, "no cuBLASLt, which the plan asks for: " + said + kAdvice);
}

void load_all(const Loader& load, BlasltFunctions& f) {
  load(f.status_name, "cublasLtGetStatusName");
  load(f.create, "cublasLtCreate");
  load(f.destroy, "cublasLtDestroy");
  load(f.product_create, "cublasLtMatmulDescCreate");
  load(f.product_set, "cublasLtMatmulDescSetAttribute");
  load(f.product_destroy, "cublasLtMatmulDescDestroy");
  load(f.layout_create, "cublasLtMatrixLayoutCreate");
  load(f.layout_set, "cublasLtMatrixLayoutSetAttribute");
  load(f.layout_destroy, "cublasLtMatrixLayoutDestroy");
  load(f.preference_create, "cublasLtMatmulPreferenceCreate");
  load(f.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  load(f.preference_destroy, "cublasLtMatmulPreferenceDestroy");
  load(f.get_heuristic, "cublasLtMatmulAlgoGetHeuristic");
  load(f.matmul, "cublasLtMatmul");
}

}  // namespace

// A library of CUDA 13 needs a driver of CUDA 13, one of CUDA 12 runs on both.
std::vector<std::string> blaslt_names(int driver) {
  if (driver < kCuda13) return {"libcublasLt.so.12"};
  return {"libcublasLt.so.13", "libcublasLt.so.12"};
}

Blaslt::Blaslt(Stream& stream, const std::string& path) : stream_(stream) {
  const std::vector<std::string> paths = path.empty() ? blaslt_names(stream.driver().version()) : std::vector{path};
  load_all(opened(paths), functions_);
  check(functions_.create(&handle_), "cublasLtCreate");
}

Blaslt::~Blaslt() {
  stream_.context().release([this] { functions_.destroy(handle_); });
}

void Blaslt::check(BlasltStatus status, const std::string& call) {
  if (status == 0) return;
  stream_.settle();
  fail(status, call);
}

void Blaslt::fail(BlasltStatus status, const std::string& call) const {
  const char* name = functions_.status_name(status);
  const std::string message =
      call + ": " + (name == nullptr ? "a status without a name" : name) + " (" + std::to_string(status) + ")";
  if (status == kAllocationFailed) throw DeviceError(Fault::out_of_memory, message);
  throw DeviceError(Fault::unavailable, message + ": compile the plan with --matmul triton");
}

}  // namespace fewstep::cuda

#include "cpu/blas.h"

#include <dlfcn.h>

#include "fewstep/error.h"

namespace fewstep::cpu {
namespace {

constexpr int kRowMajor = 101, kNoTrans = 111, kTrans = 112;
using Sgemm = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
using SetThreads = void (*)(int);

}  // namespace

Blas::Blas(const std::string& path) : library_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (library_ == nullptr) throw DeviceError(Fault::unavailable, "BLAS " + path + ": " + dlerror());
  sgemm_ = dlsym(library_, "scipy_cblas_sgemm");
  void* set_threads = dlsym(library_, "scipy_openblas_set_num_threads");
  if (sgemm_ == nullptr || set_threads == nullptr) {
    dlclose(library_);
    throw DeviceError(Fault::unavailable, "BLAS " + path + ": it is not the OpenBLAS of scipy-openblas32");
  }
  reinterpret_cast<SetThreads>(set_threads)(1);
}

Blas::~Blas() { dlclose(library_); }

void Blas::product(int m, int n, int k, const float* a, int lda, const float* b, int ldb, bool b_transposed, float* c,
                   int ldc) const noexcept {
  reinterpret_cast<Sgemm>(sgemm_)(kRowMajor, kNoTrans, b_transposed ? kTrans : kNoTrans, m, n, k, 1.0f, a, lda, b, ldb,
                                  0.0f, c, ldc);
}

}  // namespace fewstep::cpu

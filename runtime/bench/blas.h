#pragma once

#include <dlfcn.h>

#include <stdexcept>
#include <string>

namespace fewstep::cpu {

// The rival of our products: the OpenBLAS that scipy-openblas32 installs, opened by its path, on the thread that calls.
class Blas {
 public:
  explicit Blas(const std::string& path) : library_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) throw std::runtime_error("BLAS " + path + ": " + dlerror());
    sgemm_ = reinterpret_cast<Sgemm>(dlsym(library_, "scipy_cblas_sgemm"));
    const auto set_threads = reinterpret_cast<void (*)(int)>(dlsym(library_, "scipy_openblas_set_num_threads"));
    if (sgemm_ == nullptr || set_threads == nullptr) {
      dlclose(library_);
      throw std::runtime_error("BLAS " + path + ": it is not the OpenBLAS of scipy-openblas32");
    }
    set_threads(1);
  }
  ~Blas() { dlclose(library_); }
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  // c (m, n) = a (m, k) b (k, n), row-major.
  void product(int m, int n, int k, const float* a, const float* b, float* c) const {
    constexpr int kRowMajor = 101, kNoTrans = 111;
    sgemm_(kRowMajor, kNoTrans, kNoTrans, m, n, k, 1.0f, a, k, b, n, 0.0f, c, n);
  }

 private:
  using Sgemm = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
  void* library_;
  Sgemm sgemm_ = nullptr;
};

}  // namespace fewstep::cpu

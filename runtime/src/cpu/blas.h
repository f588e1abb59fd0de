#pragma once

#include <string>

namespace fewstep::cpu {

// Matrix products of the OpenBLAS that scipy-openblas32 installs, opened by its path.
//
// 1. Its own threads are off: each call runs on the thread that makes it, and several threads may call at once.
class Blas {
 public:
  explicit Blas(const std::string& path);  // throws DeviceError: unavailable
  ~Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  // c (m, n) = a (m, k) b (k, n), or b (n, k) transposed; rows at lda, ldb, ldc elements.
  void product(int m, int n, int k, const float* a, int lda, const float* b, int ldb, bool b_transposed, float* c,
               int ldc) const noexcept;

 private:
  void* library_ = nullptr;
  void* sgemm_ = nullptr;
};

}  // namespace fewstep::cpu

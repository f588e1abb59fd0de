#include <array>
#include <cmath>
#include <cstring>

#include "cuda/blaslt_abi.h"
#include "fake_cuda/api.h"
#include "fake_cuda/state.h"

// cuBLASLt of single precision: descriptors that must fit each other, products that happen when the stream is waited
// for. An error that is injected is what the library makes of one of the driver's.
using namespace fake_cuda;
using fewstep::cuda::Algorithm;
using fewstep::cuda::Heuristic;

namespace {

constexpr int kOk = 0, kInvalid = 7, kExecutionFailed = 13, kNotSupported = 15;
constexpr std::uint64_t kAlgorithm = 0xb1a5;

int status_of(Result result) {
  if (result == 0) return kOk;
  if (result == kOutOfMemory) return fewstep::cuda::kAllocationFailed;
  return state().lost != 0 || result >= kCaptureUnsupported ? kExecutionFailed : kNotSupported;
}

LibraryObject* object_of(const void* handle, const char* kind) {
  const auto found = state().library.find(handle);
  if (found != state().library.end() && found->second->kind == kind) return found->second.get();
  state().violate(std::string("cuBLASLt: expected a ") + kind);
  return nullptr;
}

int create(void** out, const char* function, const char* kind, std::vector<std::int64_t> made) {
  if (const Result result = enter(function); result != 0) return status_of(result);
  auto object = std::make_unique<LibraryObject>(LibraryObject{kind, std::move(made), {}});
  *out = object.get();
  state().library.emplace(object.get(), std::move(object));
  return kOk;
}

// What needs no device works on one that is lost.
int destroy(const void* handle, const char* function, const char* kind) {
  const Result result = enter(function);
  if (object_of(handle, kind) != nullptr) state().library.erase(handle);
  return status_of(result);
}

int set(void* handle, int attribute, const void* data, std::size_t bytes, const char* function, const char* kind,
        const std::map<int, std::size_t>& sizes) {
  if (const Result result = enter(function); result != 0) return status_of(result);
  LibraryObject* object = object_of(handle, kind);
  const auto size = sizes.find(attribute);
  if (object == nullptr || size == sizes.end() || size->second != bytes) return kInvalid;
  std::int64_t value = 0;
  std::memcpy(&value, data, bytes);
  object->attributes[attribute] = value;
  return kOk;
}

struct Shape {
  std::int64_t rows, columns, leading, batch, distance;

  explicit Shape(const LibraryObject& layout)
      : rows(layout.made[1]),
        columns(layout.made[2]),
        leading(layout.made[3]),
        batch(layout.attributes.at(5)),
        distance(layout.attributes.at(6)) {}
  std::size_t bytes() const {
    const std::int64_t last = (batch - 1) * distance + (columns - 1) * leading + rows;
    return static_cast<std::size_t>(last) * sizeof(float);
  }
};

bool fit(const LibraryObject& product, const LibraryObject& a, const LibraryObject& b, const LibraryObject& d) {
  Shape x(a), y(b);
  const Shape z(d);
  for (const Shape& shape : {x, y, z}) {
    if (shape.leading < shape.rows || shape.batch != z.batch) return false;
  }
  if (product.attributes.at(3) == 1) std::swap(x.rows, x.columns);
  if (product.attributes.at(4) == 1) std::swap(y.rows, y.columns);
  return x.rows == z.rows && x.columns == y.rows && y.columns == z.columns && a.made[0] == 0 && b.made[0] == 0 &&
         d.made[0] == 0;
}

}  // namespace

FAKE_CUDA_EXPORT const char* cublasLtGetStatusName(int status) {
  return status == kNotSupported ? "CUBLAS_STATUS_NOT_SUPPORTED" : nullptr;
}

FAKE_CUDA_EXPORT int cublasLtCreate(void** handle) {
  if (state().current.empty()) state().violate("cublasLtCreate without a context");
  return create(handle, "cublasLtCreate", "handle", {});
}

FAKE_CUDA_EXPORT int cublasLtDestroy(void* handle) {
  if (state().lost != 0) state().violate("cublasLtDestroy on a device that is lost");
  return destroy(handle, "cublasLtDestroy", "handle");
}

FAKE_CUDA_EXPORT int cublasLtMatmulDescCreate(void** product, int compute, int scale) {
  if (compute != fewstep::cuda::kCompute32 || scale != fewstep::cuda::kReal32) return kInvalid;
  return create(product, "cublasLtMatmulDescCreate", "product", {});
}

FAKE_CUDA_EXPORT int cublasLtMatmulDescSetAttribute(void* product, int attribute, const void* data, std::size_t bytes) {
  return set(product, attribute, data, bytes, "cublasLtMatmulDescSetAttribute", "product",
             {{3, 4}, {4, 4}, {7, 4}, {8, 8}});
}

FAKE_CUDA_EXPORT int cublasLtMatmulDescDestroy(void* product) {
  return destroy(product, "cublasLtMatmulDescDestroy", "product");
}

FAKE_CUDA_EXPORT int cublasLtMatrixLayoutCreate(void** layout, int type, std::uint64_t rows, std::uint64_t columns,
                                                std::int64_t leading) {
  return create(layout, "cublasLtMatrixLayoutCreate", "layout",
                {type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns), leading});
}

FAKE_CUDA_EXPORT int cublasLtMatrixLayoutSetAttribute(void* layout, int attribute, const void* data,
                                                      std::size_t bytes) {
  return set(layout, attribute, data, bytes, "cublasLtMatrixLayoutSetAttribute", "layout", {{5, 4}, {6, 8}});
}

FAKE_CUDA_EXPORT int cublasLtMatrixLayoutDestroy(void* layout) {
  return destroy(layout, "cublasLtMatrixLayoutDestroy", "layout");
}

FAKE_CUDA_EXPORT int cublasLtMatmulPreferenceCreate(void** preference) {
  return create(preference, "cublasLtMatmulPreferenceCreate", "preference", {});
}

FAKE_CUDA_EXPORT int cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* data,
                                                          std::size_t bytes) {
  return set(preference, attribute, data, bytes, "cublasLtMatmulPreferenceSetAttribute", "preference",
             {{1, 8}, {3, 4}, {5, 4}, {6, 4}, {7, 4}, {8, 4}});
}

FAKE_CUDA_EXPORT int cublasLtMatmulPreferenceDestroy(void* preference) {
  return destroy(preference, "cublasLtMatmulPreferenceDestroy", "preference");
}

// The algorithm counts on all of the workspace and of the alignment that it was promised.
FAKE_CUDA_EXPORT int cublasLtMatmulAlgoGetHeuristic(void* handle, void* product, void* a, void* b, void* c, void* d,
                                                    void* preference, int most, Heuristic* results, int* count) {
  *count = 0;
  if (const Result result = enter_context("cublasLtMatmulAlgoGetHeuristic"); result != 0) return status_of(result);
  const LibraryObject *given = object_of(product, "product"), *wanted = object_of(preference, "preference");
  const LibraryObject *x = object_of(a, "layout"), *y = object_of(b, "layout"), *z = object_of(d, "layout");
  if (object_of(handle, "handle") == nullptr || given == nullptr || wanted == nullptr || x == nullptr || y == nullptr ||
      z == nullptr || c != d || most < 1 || !fit(*given, *x, *y, *z)) {
    return kNotSupported;
  }
  if (wanted->attributes.at(3) != 2) state().violate("cuBLASLt: parts of a sum in another type than the sum's");
  if (state().settings.algorithms > 0) {
    results[0] = {};
    results[0].state = state().settings.algorithm_state;
    results[0].algorithm.words[0] = kAlgorithm;
    results[0].algorithm.words[1] = static_cast<std::uint64_t>(wanted->attributes.at(1));
    for (const int k : {5, 6, 8}) {
      results[0].algorithm.words[k - 3] = static_cast<std::uint64_t>(wanted->attributes.at(k));
    }
    *count = 1;
  }
  return kOk;
}

FAKE_CUDA_EXPORT int cublasLtMatmul(void* handle, void* product, const float* alpha, const void* a, void* a_layout,
                                    const void* b, void* b_layout, const float* beta, const void* c, void* c_layout,
                                    void* d, void* d_layout, const Algorithm* algorithm, void* workspace,
                                    std::size_t workspace_bytes, void* stream) {
  if (const Result result = enter_context("cublasLtMatmul"); result != 0) return status_of(result);
  State& s = state();
  const LibraryObject* given = object_of(product, "product");
  const LibraryObject *x = object_of(a_layout, "layout"), *y = object_of(b_layout, "layout");
  const LibraryObject* z = object_of(d_layout, "layout");
  const auto found = s.streams.find(stream);
  if (object_of(handle, "handle") == nullptr || given == nullptr || x == nullptr || y == nullptr || z == nullptr ||
      found == s.streams.end() || c != d || c_layout != d_layout || *beta != 0 || !fit(*given, *x, *y, *z) ||
      algorithm->words[0] != kAlgorithm || workspace_bytes < algorithm->words[1]) {
    return kInvalid;
  }
  const auto number = [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); };
  if (workspace_bytes > 0 &&
      (number(workspace) % 256 != 0 || !inside(s.device_memory, number(workspace), workspace_bytes))) {
    s.violate("cublasLtMatmul: a workspace that is not aligned, or not the device's");
  }
  const std::array starts{number(a), number(b), number(d)};
  const std::array layouts{x, y, z};
  constexpr std::array kAligned{2, 3, 5};  // words of the algorithm
  for (std::size_t k = 0; k < starts.size(); ++k) {
    if (starts[k] % algorithm->words[kAligned[k]] != 0)
      s.violate("cublasLtMatmul: a matrix is not aligned as promised");
    if (!inside(s.device_memory, starts[k], Shape(*layouts[k]).bytes())) {
      s.violate("cublasLtMatmul: a matrix outside of the device's memory");
      return kExecutionFailed;
    }
  }
  auto work = std::make_shared<const LibraryProduct>(
      LibraryProduct{*given, *x, *y, *z, starts[0], starts[1], starts[2], *alpha});
  return status_of(submit(*found->second,
                          {.kernel = nullptr, .params = nullptr, .copy = {}, .freed = 0, .product = std::move(work)}));
}

namespace fake_cuda {

void run_product(const LibraryProduct& work) {
  const Shape a(work.a), b(work.b), d(work.d);
  const bool a_turned = work.product.attributes.at(3) == 1, b_turned = work.product.attributes.at(4) == 1;
  const std::int64_t inner = a_turned ? a.rows : a.columns, epilogue = work.product.attributes.at(7);
  const auto* x = reinterpret_cast<const float*>(work.a_start);
  const auto* y = reinterpret_cast<const float*>(work.b_start);
  auto* z = reinterpret_cast<float*>(work.d_start);
  const float* bias = nullptr;
  if ((epilogue & 4) != 0) bias = reinterpret_cast<const float*>(work.product.attributes.at(8));
  for (std::int64_t t = 0; t < d.batch; ++t) {
    for (std::int64_t j = 0; j < d.columns; ++j) {
      for (std::int64_t i = 0; i < d.rows; ++i) {
        float sum = 0;
        for (std::int64_t k = 0; k < inner; ++k) {
          sum += x[t * a.distance + (a_turned ? i * a.leading + k : k * a.leading + i)] *
                 y[t * b.distance + (b_turned ? k * b.leading + j : j * b.leading + k)];
        }
        sum = sum * work.alpha + (bias != nullptr ? bias[i] : 0);
        if ((epilogue & 32) != 0) sum *= 0.5f * (1 + std::tanh(0.797884561f * (sum + 0.044715f * sum * sum * sum)));
        z[t * d.distance + j * d.leading + i] = sum;
      }
    }
  }
}

}  // namespace fake_cuda

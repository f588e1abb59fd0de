#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/abi.h"

// What of cuBLASLt's binary interface is used, declared anew from cublasLt.h and cublas_api.h.
namespace fewstep::cuda {

using BlasltStatus = int;

struct BlasltObject;
struct ProductObject;
struct LayoutObject;
struct PreferenceObject;

struct Algorithm {
  std::uint64_t words[8];
};

struct Heuristic {
  Algorithm algorithm;
  std::size_t workspace;
  BlasltStatus state;
  float waves;
  int reserved[4];
};

struct BlasltFunctions {
  const char* (*status_name)(BlasltStatus status);
  BlasltStatus (*create)(BlasltObject** handle);
  BlasltStatus (*destroy)(BlasltObject* handle);
  BlasltStatus (*product_create)(ProductObject** product, int compute, int scale);
  BlasltStatus (*product_set)(ProductObject* product, int attribute, const void* data, std::size_t bytes);
  BlasltStatus (*product_destroy)(ProductObject* product);
  BlasltStatus (*layout_create)(LayoutObject** layout, int type, std::uint64_t rows, std::uint64_t columns,
                                std::int64_t leading);
  BlasltStatus (*layout_set)(LayoutObject* layout, int attribute, const void* data, std::size_t bytes);
  BlasltStatus (*layout_destroy)(LayoutObject* layout);
  BlasltStatus (*preference_create)(PreferenceObject** preference);
  BlasltStatus (*preference_set)(PreferenceObject* preference, int attribute, const void* data, std::size_t bytes);
  BlasltStatus (*preference_destroy)(PreferenceObject* preference);
  BlasltStatus (*get_heuristic)(BlasltObject* handle, ProductObject* product, LayoutObject* a, LayoutObject* b,
                                LayoutObject* c, LayoutObject* d, PreferenceObject* preference, int most,
                                Heuristic* results, int* count);
  BlasltStatus (*matmul)(BlasltObject* handle, ProductObject* product, const void* alpha, const void* a,
                         LayoutObject* a_layout, const void* b, LayoutObject* b_layout, const void* beta, const void* c,
                         LayoutObject* c_layout, void* d, LayoutObject* d_layout, const Algorithm* algorithm,
                         void* workspace, std::size_t workspace_bytes, StreamHandle stream);
};

constexpr BlasltStatus kAllocationFailed = 3;
constexpr int kReal32 = 0, kReal16 = 2, kBrain16 = 14, kCompute32 = 68;                    // types
constexpr int kTransposeFirst = 3, kTransposeSecond = 4, kEpilogue = 7, kBiasPointer = 8;  // of a product
constexpr int kNotTransposed = 0, kTransposed = 1;
constexpr std::uint32_t kNoEpilogue = 1, kAddBias = 4, kGelu = 32;  // gelu: by tanh
constexpr int kBatchCount = 5, kBatchDistance = 6;                  // of a layout
constexpr int kMostWorkspaceBytes = 1, kReductions = 3, kAlignmentA = 5, kAlignmentB = 6, kAlignmentC = 7,
              kAlignmentD = 8;  // of a preference
constexpr std::uint32_t kReductionInCompute32 = 2;

}  // namespace fewstep::cuda

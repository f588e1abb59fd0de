// Compiled, never run: what src/cuda/blaslt_abi.h declares anew is what cuBLASLt's own headers say.
#include "cuda/blaslt_abi.h"

// Of halves the names are enough: their own headers need one more package.
#define __CUDA_FP16_H__
#define __CUDA_BF16_H__
struct __half;
struct __nv_bfloat16;
#include <cublasLt.h>

#include "abi/same.h"

SAME_FUNCTION(BlasltFunctions, status_name, cublasLtGetStatusName);
SAME_FUNCTION(BlasltFunctions, create, cublasLtCreate);
SAME_FUNCTION(BlasltFunctions, destroy, cublasLtDestroy);
SAME_FUNCTION(BlasltFunctions, product_create, cublasLtMatmulDescCreate);
SAME_FUNCTION(BlasltFunctions, product_set, cublasLtMatmulDescSetAttribute);
SAME_FUNCTION(BlasltFunctions, product_destroy, cublasLtMatmulDescDestroy);
SAME_FUNCTION(BlasltFunctions, layout_create, cublasLtMatrixLayoutCreate);
SAME_FUNCTION(BlasltFunctions, layout_set, cublasLtMatrixLayoutSetAttribute);
SAME_FUNCTION(BlasltFunctions, layout_destroy, cublasLtMatrixLayoutDestroy);
SAME_FUNCTION(BlasltFunctions, preference_create, cublasLtMatmulPreferenceCreate);
SAME_FUNCTION(BlasltFunctions, preference_set, cublasLtMatmulPreferenceSetAttribute);
SAME_FUNCTION(BlasltFunctions, preference_destroy, cublasLtMatmulPreferenceDestroy);
SAME_FUNCTION(BlasltFunctions, get_heuristic, cublasLtMatmulAlgoGetHeuristic);
SAME_FUNCTION(BlasltFunctions, matmul, cublasLtMatmul);

static_assert(sizeof(ours::BlasltStatus) == sizeof(cublasStatus_t));
static_assert(sizeof(ours::Algorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(alignof(ours::Algorithm) == alignof(cublasLtMatmulAlgo_t));
static_assert(sizeof(ours::Heuristic) == sizeof(cublasLtMatmulHeuristicResult_t));
SAME_FIELD(Heuristic, algorithm, cublasLtMatmulHeuristicResult_t, algo);
SAME_FIELD(Heuristic, workspace, cublasLtMatmulHeuristicResult_t, workspaceSize);
SAME_FIELD(Heuristic, state, cublasLtMatmulHeuristicResult_t, state);
SAME_FIELD(Heuristic, waves, cublasLtMatmulHeuristicResult_t, wavesCount);

static_assert(CUBLAS_STATUS_SUCCESS == 0);
SAME_VALUE(kAllocationFailed, CUBLAS_STATUS_ALLOC_FAILED);
SAME_VALUE(kReal32, CUDA_R_32F);
SAME_VALUE(kReal16, CUDA_R_16F);
SAME_VALUE(kBrain16, CUDA_R_16BF);
SAME_VALUE(kCompute32, CUBLAS_COMPUTE_32F);
SAME_VALUE(kTransposeFirst, CUBLASLT_MATMUL_DESC_TRANSA);
SAME_VALUE(kTransposeSecond, CUBLASLT_MATMUL_DESC_TRANSB);
SAME_VALUE(kEpilogue, CUBLASLT_MATMUL_DESC_EPILOGUE);
SAME_VALUE(kBiasPointer, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
SAME_VALUE(kNotTransposed, CUBLAS_OP_N);
SAME_VALUE(kTransposed, CUBLAS_OP_T);
SAME_VALUE(kNoEpilogue, CUBLASLT_EPILOGUE_DEFAULT);
SAME_VALUE(kAddBias, CUBLASLT_EPILOGUE_BIAS);
SAME_VALUE(kGelu, CUBLASLT_EPILOGUE_GELU);
static_assert((ours::kAddBias | ours::kGelu) == CUBLASLT_EPILOGUE_GELU_BIAS);
SAME_VALUE(kBatchCount, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
SAME_VALUE(kBatchDistance, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
SAME_VALUE(kMostWorkspaceBytes, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME_VALUE(kReductions, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
SAME_VALUE(kReductionInCompute32, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
SAME_VALUE(kAlignmentA, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
SAME_VALUE(kAlignmentB, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
SAME_VALUE(kAlignmentC, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
SAME_VALUE(kAlignmentD, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);

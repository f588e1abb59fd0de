// Compiled, never run: what src/cuda/abi.h and functions.h declare anew is what the driver's own header says.
#include <cuda.h>

#include <cstddef>
#include <iterator>
#include <type_traits>

#include "cuda/functions.h"

namespace ours = fewstep::cuda;

template <typename>
struct Signature;
template <typename R, typename... A>
struct Signature<R (*)(A...)> {
  static constexpr std::size_t sizes[] = {sizeof(A)..., sizeof(R)};
  static constexpr bool pointers[] = {std::is_pointer_v<A>..., false};
};

// As many parameters, each of the same size and a pointer or none.
template <typename Ours, typename Theirs>
constexpr bool agree() {
  using A = Signature<Ours>;
  using B = Signature<Theirs>;
  if (std::size(A::sizes) != std::size(B::sizes)) return false;
  for (std::size_t i = 0; i < std::size(A::sizes); ++i) {
    if (A::sizes[i] != B::sizes[i] || A::pointers[i] != B::pointers[i]) return false;
  }
  return true;
}

#define SAME_FUNCTION(member, function) \
  static_assert(agree<decltype(ours::Functions::member), decltype(&function)>(), #function)
#define SAME_FIELD(type, field, theirs, theirs_field) \
  static_assert(offsetof(ours::type, field) == offsetof(theirs, theirs_field), #theirs_field)
#define SAME_VALUE(constant, theirs) \
  static_assert(static_cast<int>(ours::constant) == static_cast<int>(theirs), #theirs)

SAME_FUNCTION(init, cuInit);
SAME_FUNCTION(driver_get_version, cuDriverGetVersion);
SAME_FUNCTION(get_error_name, cuGetErrorName);
SAME_FUNCTION(device_get, cuDeviceGet);
SAME_FUNCTION(device_get_name, cuDeviceGetName);
SAME_FUNCTION(device_get_attribute, cuDeviceGetAttribute);
SAME_FUNCTION(primary_retain, cuDevicePrimaryCtxRetain);
SAME_FUNCTION(primary_release, cuDevicePrimaryCtxRelease);
SAME_FUNCTION(push_current, cuCtxPushCurrent);
SAME_FUNCTION(pop_current, cuCtxPopCurrent);
SAME_FUNCTION(mem_get_info, cuMemGetInfo);
SAME_FUNCTION(mem_alloc, cuMemAlloc);
SAME_FUNCTION(mem_free, cuMemFree);
SAME_FUNCTION(mem_alloc_async, cuMemAllocAsync);
SAME_FUNCTION(mem_free_async, cuMemFreeAsync);
SAME_FUNCTION(mem_host_alloc, cuMemHostAlloc);
SAME_FUNCTION(mem_free_host, cuMemFreeHost);
SAME_FUNCTION(copy_to_device, cuMemcpyHtoDAsync);
SAME_FUNCTION(copy_to_host, cuMemcpyDtoHAsync);
SAME_FUNCTION(copy_2d, cuMemcpy2DAsync);
SAME_FUNCTION(module_load_data, cuModuleLoadDataEx);
SAME_FUNCTION(module_unload, cuModuleUnload);
SAME_FUNCTION(module_get_function, cuModuleGetFunction);
SAME_FUNCTION(func_get_attribute, cuFuncGetAttribute);
SAME_FUNCTION(func_set_attribute, cuFuncSetAttribute);
SAME_FUNCTION(launch_kernel, cuLaunchKernelEx);
SAME_FUNCTION(tensor_map_encode, cuTensorMapEncodeTiled);
SAME_FUNCTION(stream_create, cuStreamCreate);
SAME_FUNCTION(stream_destroy, cuStreamDestroy);
SAME_FUNCTION(stream_synchronize, cuStreamSynchronize);
SAME_FUNCTION(stream_begin_capture, cuStreamBeginCapture);
SAME_FUNCTION(stream_end_capture, cuStreamEndCapture);
SAME_FUNCTION(graph_instantiate, cuGraphInstantiateWithFlags);
SAME_FUNCTION(graph_destroy, cuGraphDestroy);
SAME_FUNCTION(graph_upload, cuGraphUpload);
SAME_FUNCTION(graph_launch, cuGraphLaunch);
SAME_FUNCTION(graph_exec_destroy, cuGraphExecDestroy);

static_assert(sizeof(ours::EncodedTensorMap) == sizeof(CUtensorMap));
static_assert(alignof(ours::EncodedTensorMap) >= alignof(CUtensorMap));
static_assert(sizeof(ours::LaunchAttribute) == sizeof(CUlaunchAttribute));
SAME_FIELD(LaunchAttribute, value, CUlaunchAttribute, value);
SAME_FIELD(LaunchAttribute, value.cluster, CUlaunchAttribute, value.clusterDim);
SAME_FIELD(LaunchAttribute, value.policy, CUlaunchAttribute, value.clusterSchedulingPolicyPreference);
static_assert(sizeof(ours::LaunchConfig) == sizeof(CUlaunchConfig));
SAME_FIELD(LaunchConfig, grid, CUlaunchConfig, gridDimX);
SAME_FIELD(LaunchConfig, block, CUlaunchConfig, blockDimX);
SAME_FIELD(LaunchConfig, shared, CUlaunchConfig, sharedMemBytes);
SAME_FIELD(LaunchConfig, stream, CUlaunchConfig, hStream);
SAME_FIELD(LaunchConfig, attributes, CUlaunchConfig, attrs);
SAME_FIELD(LaunchConfig, attribute_count, CUlaunchConfig, numAttrs);
static_assert(sizeof(ours::Copy2d) == sizeof(CUDA_MEMCPY2D));
SAME_FIELD(Copy2d, source_x, CUDA_MEMCPY2D, srcXInBytes);
SAME_FIELD(Copy2d, source_type, CUDA_MEMCPY2D, srcMemoryType);
SAME_FIELD(Copy2d, source_host, CUDA_MEMCPY2D, srcHost);
SAME_FIELD(Copy2d, source_device, CUDA_MEMCPY2D, srcDevice);
SAME_FIELD(Copy2d, source_pitch, CUDA_MEMCPY2D, srcPitch);
SAME_FIELD(Copy2d, target_x, CUDA_MEMCPY2D, dstXInBytes);
SAME_FIELD(Copy2d, target_type, CUDA_MEMCPY2D, dstMemoryType);
SAME_FIELD(Copy2d, target_host, CUDA_MEMCPY2D, dstHost);
SAME_FIELD(Copy2d, target_device, CUDA_MEMCPY2D, dstDevice);
SAME_FIELD(Copy2d, target_pitch, CUDA_MEMCPY2D, dstPitch);
SAME_FIELD(Copy2d, width, CUDA_MEMCPY2D, WidthInBytes);
SAME_FIELD(Copy2d, height, CUDA_MEMCPY2D, Height);

SAME_VALUE(kMemoryHost, CU_MEMORYTYPE_HOST);
SAME_VALUE(kMemoryDevice, CU_MEMORYTYPE_DEVICE);
SAME_VALUE(kComputeCapabilityMajor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME_VALUE(kComputeCapabilityMinor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME_VALUE(kSharedPerBlockOptin, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
SAME_VALUE(kMemoryPoolsSupported, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED);
SAME_VALUE(kMaxThreadsPerBlock, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
SAME_VALUE(kStaticShared, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
SAME_VALUE(kMaxDynamicShared, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
SAME_VALUE(kNonPortableCluster, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED);
SAME_VALUE(kClusterDimension, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION);
SAME_VALUE(kClusterPolicy, CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE);
SAME_VALUE(kSpread, CU_CLUSTER_SCHEDULING_POLICY_SPREAD);
SAME_VALUE(kErrorLog, CU_JIT_ERROR_LOG_BUFFER);
SAME_VALUE(kErrorLogBytes, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
SAME_VALUE(kStreamNonBlocking, CU_STREAM_NON_BLOCKING);
SAME_VALUE(kCaptureThreadLocal, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
SAME_VALUE(kInterleaveNone, CU_TENSOR_MAP_INTERLEAVE_NONE);
SAME_VALUE(kPromotion128, CU_TENSOR_MAP_L2_PROMOTION_L2_128B);
SAME_VALUE(kFillNone, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
SAME_VALUE(kFillNan, CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA);

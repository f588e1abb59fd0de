#pragma once

#include "cuda/abi.h"

namespace fewstep::cuda {

// The driver's functions, each under its name without "cu" and version.
struct Functions {
  Result (*init)(unsigned flags);
  Result (*driver_get_version)(int* version);
  Result (*get_error_name)(Result result, const char** name);

  Result (*device_get)(DeviceHandle* device, int index);
  Result (*device_get_name)(char* name, int size, DeviceHandle device);
  Result (*device_get_attribute)(int* value, int attribute, DeviceHandle device);
  Result (*primary_retain)(ContextHandle* context, DeviceHandle device);
  Result (*primary_release)(DeviceHandle device);
  Result (*push_current)(ContextHandle context);
  Result (*pop_current)(ContextHandle* context);

  Result (*mem_get_info)(std::size_t* free, std::size_t* total);
  Result (*mem_alloc)(Address* address, std::size_t bytes);
  Result (*mem_free)(Address address);
  Result (*mem_alloc_async)(Address* address, std::size_t bytes, StreamHandle stream);
  Result (*mem_free_async)(Address address, StreamHandle stream);
  Result (*mem_host_alloc)(void** data, std::size_t bytes, unsigned flags);
  Result (*mem_free_host)(void* data);
  Result (*copy_to_device)(Address target, const void* source, std::size_t bytes, StreamHandle stream);
  Result (*copy_to_host)(void* target, Address source, std::size_t bytes, StreamHandle stream);
  Result (*copy_2d)(const Copy2d* copy, StreamHandle stream);

  Result (*module_load_data)(ModuleHandle* module, const void* image, unsigned option_count, int* options,
                             void** option_values);
  Result (*module_unload)(ModuleHandle module);
  Result (*module_get_function)(FunctionHandle* function, ModuleHandle module, const char* name);
  Result (*func_get_attribute)(int* value, int attribute, FunctionHandle function);
  Result (*func_set_attribute)(FunctionHandle function, int attribute, int value);
  Result (*launch_kernel)(const LaunchConfig* config, FunctionHandle function, void** params, void** extra);
  Result (*tensor_map_encode)(EncodedTensorMap* map, int elem_type, unsigned rank, void* address,
                              const std::uint64_t* shape, const std::uint64_t* strides, const unsigned* box,
                              const unsigned* element_strides, int interleave, int swizzle, int promotion, int fill);

  Result (*stream_create)(StreamHandle* stream, unsigned flags);
  Result (*stream_destroy)(StreamHandle stream);
  Result (*stream_synchronize)(StreamHandle stream);
  Result (*stream_begin_capture)(StreamHandle stream, int mode);
  Result (*stream_end_capture)(StreamHandle stream, GraphHandle* graph);
  Result (*graph_instantiate)(ExecutableHandle* executable, GraphHandle graph, unsigned long long flags);
  Result (*graph_destroy)(GraphHandle graph);
  Result (*graph_upload)(ExecutableHandle executable, StreamHandle stream);
  Result (*graph_launch)(ExecutableHandle executable, StreamHandle stream);
  Result (*graph_exec_destroy)(ExecutableHandle executable);
};

}  // namespace fewstep::cuda

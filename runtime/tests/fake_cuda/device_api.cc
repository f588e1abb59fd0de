#include <algorithm>
#include <cstring>

#include "fake_cuda/api.h"
#include "fake_cuda/state.h"

// Initialisation, devices and their primary context.
using namespace fake_cuda;

namespace {

constexpr int kDevice = 7;  // a device's handle is not its index
int context_object = 0;     // its address is the context's handle

}  // namespace

FAKE_CUDA_EXPORT Result cuInit(unsigned flags) {
  if (const Result result = enter("cuInit"); result != 0) return result;
  if (state().settings.devices == 0) return kNoDevice;
  return flags == 0 ? 0 : kInvalidValue;
}

FAKE_CUDA_EXPORT Result cuDriverGetVersion(int* version) {
  *version = state().settings.version;
  return enter("cuDriverGetVersion");
}

FAKE_CUDA_EXPORT Result cuGetErrorName(Result error, const char** name) {
  *name = error == kOutOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY" : error == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : nullptr;
  return *name == nullptr ? kInvalidValue : 0;
}

FAKE_CUDA_EXPORT Result cuDeviceGet(int* device, int index) {
  if (const Result result = enter("cuDeviceGet"); result != 0) return result;
  if (index < 0 || index >= state().settings.devices) return kInvalidDevice;
  *device = kDevice + index;
  return 0;
}

FAKE_CUDA_EXPORT Result cuDeviceGetName(char* name, int size, int) {
  if (const Result result = enter("cuDeviceGetName"); result != 0) return result;
  std::strncpy(name, "Fake \"GPU\"", static_cast<std::size_t>(size));
  return 0;
}

FAKE_CUDA_EXPORT Result cuDeviceGetAttribute(int* value, int attribute, int) {
  if (const Result result = enter("cuDeviceGetAttribute"); result != 0) return result;
  const Settings& settings = state().settings;
  const std::map<int, int> values{
      {75, settings.major}, {76, settings.minor}, {97, settings.shared}, {115, settings.pools ? 1 : 0}};
  const auto found = values.find(attribute);
  if (found == values.end()) return kInvalidValue;
  *value = found->second;
  return 0;
}

FAKE_CUDA_EXPORT Result cuDevicePrimaryCtxRetain(void** context, int device) {
  if (const Result result = enter("cuDevicePrimaryCtxRetain"); result != 0) return result;
  if (device < kDevice) return kInvalidDevice;
  ++state().retained;
  *context = &context_object;
  return 0;
}

// What still lies in a context goes with it, as the driver's own does.
FAKE_CUDA_EXPORT Result cuDevicePrimaryCtxRelease_v2(int) {
  State& s = state();
  const Result result = enter("cuDevicePrimaryCtxRelease");
  const bool lost = s.lost != 0;
  if (s.retained == 0) s.violate("a context released that nobody retained");
  if (--s.retained > 0) return result;
  s.retained = 0;
  if (!lost && live() != 0) s.violate(std::to_string(live()) + " objects left in a context");
  if (!s.current.empty()) s.violate("a context released that is current");
  s.drop_all();
  return result;
}

FAKE_CUDA_EXPORT Result cuCtxPushCurrent_v2(void* context) {
  if (const Result result = enter("cuCtxPushCurrent"); result != 0) return result;
  State& s = state();
  if (context != &context_object || s.retained == 0) {
    s.violate("a context made current that nobody retained");
    return kInvalidContext;
  }
  s.current.push_back(context);
  return 0;
}

FAKE_CUDA_EXPORT Result cuCtxPopCurrent_v2(void** context) {
  State& s = state();
  const Result result = enter_context("cuCtxPopCurrent");
  if (s.current.empty()) return result;
  *context = const_cast<void*>(s.current.back());
  s.current.pop_back();
  return result;
}

#include "cuda/context.h"

namespace fewstep::cuda {

Context::Context(Driver& driver, int index) : driver_(driver), index_(index) {
  const std::string device = "device " + std::to_string(index);
  if (const Result result = driver_->device_get(&device_, index); result != 0) driver_.fail(result, device);
  char name[256] = {};
  driver_.check(driver_->device_get_name(name, sizeof name - 1, device_), "cuDeviceGetName");
  name_ = name;
  architecture_ = 10 * attribute(kComputeCapabilityMajor) + attribute(kComputeCapabilityMinor);
  shared_ = attribute(kSharedPerBlockOptin);
  has_pools_ = attribute(kMemoryPoolsSupported) != 0;
  driver_.check(driver_->primary_retain(&handle_, device_), "cuDevicePrimaryCtxRetain");
}

Context::~Context() { driver_->primary_release(device_); }

int Context::attribute(int which) const {
  int value = 0;
  driver_.check(driver_->device_get_attribute(&value, which, device_), "cuDeviceGetAttribute");
  return value;
}

Context::Current::Current(const Context& context) : driver_(context.driver_) {
  context.driver_.check(driver_->push_current(context.handle_), "cuCtxPushCurrent");
}

Context::Current::~Current() {
  ContextHandle popped = nullptr;
  driver_->pop_current(&popped);
}

}  // namespace fewstep::cuda

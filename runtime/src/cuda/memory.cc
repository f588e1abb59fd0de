#include "cuda/memory.h"

#include <cstring>
#include <string>

#include "cuda/fault.h"

namespace fewstep::cuda {
namespace {

std::string asked(const char* what, std::size_t bytes, const char* kind) {
  return std::string(what) + ", " + std::to_string(bytes) + " bytes of " + kind + " memory";
}

}  // namespace

DeviceMemory::DeviceMemory(const Stream& stream, std::size_t bytes, const char* what) : stream_(stream), bytes_(bytes) {
  if (bytes == 0) return;
  Driver& driver = stream.driver();
  const Result result = stream.context().has_pools() ? driver->mem_alloc_async(&address_, bytes, stream.handle())
                                                     : driver->mem_alloc(&address_, bytes);
  if (result == 0) return;
  std::string message = asked(what, bytes, "device");
  std::size_t free = 0, total = 0;
  if (fault_of(result) == Fault::out_of_memory && driver->mem_get_info(&free, &total) == 0) {
    message += ", of which " + std::to_string(free) + " of " + std::to_string(total) + " are free";
  }
  driver.fail(result, message);
}

DeviceMemory::~DeviceMemory() {
  if (address_ == 0) return;
  stream_.context().release([this] {
    Driver& driver = stream_.driver();
    if (stream_.context().has_pools()) {
      driver->mem_free_async(address_, stream_.handle());
    } else {
      driver->mem_free(address_);
    }
  });
}

PinnedMemory::PinnedMemory(const Context& context, std::size_t bytes, const char* what)
    : context_(context), bytes_(bytes) {
  if (bytes == 0) return;
  Driver& driver = context.driver();
  void* data = nullptr;
  const Result result = driver->mem_host_alloc(&data, bytes, 0);
  if (result != 0) driver.fail(result, asked(what, bytes, "pinned"));
  data_ = static_cast<std::byte*>(data);
  std::memset(data_, 0, bytes);
}

PinnedMemory::~PinnedMemory() {
  if (data_ != nullptr) context_.release([this] { context_.driver()->mem_free_host(data_); });
}

}  // namespace fewstep::cuda

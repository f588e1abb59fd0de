#include <cstddef>
#include <cstdint>
#include <span>

#include "fewstep/error.h"
#include "plan/container.h"
#include "plan/image.h"

namespace {

void touch(const volatile std::byte& place) { [[maybe_unused]] const std::byte read = place; }

// The bytes of every tensor, which lie one after another, and the checks that nothing else has made.
void walk(const fewstep::Container& container, std::span<const std::byte> file) {
  const std::byte* end = file.data() + file.size();
  for (std::size_t i = container.tensors.size(); i-- > 0;) {
    const auto bytes = container.tensors[i].bytes;
    if (bytes.data() + bytes.size() != end) __builtin_trap();
    end = bytes.data();
    if (bytes.empty()) continue;
    touch(bytes.front());
    touch(bytes.back());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    if (size > 0 && data[0] == 0x7f) {
      static_cast<void>(fewstep::read_cubin(file, "kernel"));
    } else if (size > 0 && data[0] == '/') {
      static_cast<void>(fewstep::read_ptx(file, "kernel", 80));
    } else {
      walk(fewstep::read_container(file), file);
    }
  } catch (const fewstep::PlanError&) {
  }
  return 0;
}

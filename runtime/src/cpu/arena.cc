#include "cpu/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "fewstep/error.h"

namespace fewstep::cpu {
namespace {

constexpr std::size_t kAlignment = 256, kHugePage = std::size_t{2} << 20;

}  // namespace

void Arena::Free::operator()(std::byte* data) const noexcept { std::free(data); }

Arena::Arena(std::int64_t bytes) {
  const auto machine = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  const bool large = bytes >= static_cast<std::int64_t>(2 * kHugePage);
  const std::size_t alignment = large ? kHugePage : kAlignment;
  if (bytes <= machine) {
    const std::size_t size = (static_cast<std::size_t>(bytes) + alignment) / alignment * alignment;
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, size)));
    if (data_ != nullptr) {
      if (large) madvise(data_.get(), size, MADV_HUGEPAGE);
      std::memset(data_.get(), 0xff, size);
      return;
    }
  }
  throw DeviceError(Fault::out_of_memory, "the plan asks for an arena of " + std::to_string(bytes) +
                                              " bytes, this machine has " + std::to_string(machine));
}

}  // namespace fewstep::cpu

#include "oracle/arena_gaps.h"

#include <sanitizer/asan_interface.h>

#include <cstdlib>
#include <cstring>

#include "cpu/arena.h"

namespace {

const std::vector<fewstep::Buffer>* current = nullptr;

}  // namespace

namespace oracle {

ArenaGaps::ArenaGaps(const std::vector<fewstep::Buffer>& gaps) { current = &gaps; }
ArenaGaps::~ArenaGaps() { current = nullptr; }

}  // namespace oracle

// Linked in the place of the runtime's own.
namespace fewstep::cpu {

void Arena::Free::operator()(std::byte* data) const noexcept { std::free(data); }

Arena::Arena(std::int64_t bytes) {
  const std::size_t size = (static_cast<std::size_t>(bytes) + 256) / 256 * 256;
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(256, size)));
  std::memset(data_.get(), 0xff, size);
  for (const auto& [offset, length] : *current) {
    __asan_poison_memory_region(data_.get() + offset, static_cast<std::size_t>(length));
  }
}

}  // namespace fewstep::cpu

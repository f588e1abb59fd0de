#include "pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace fewstep {
namespace {

constexpr std::size_t kLarge = 1 << 20;

}  // namespace

void release_pages(const Plan& plan, const Weight& weight) noexcept {
  if (!plan.mapped || weight.bytes.size() < kLarge) return;
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(weight.bytes.data()), end = begin + weight.bytes.size();
  const std::uintptr_t first = (begin + page - 1) / page * page, last = end / page * page;
  madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);  // a hint: if refused, the pages stay
}

}  // namespace fewstep

#include "cpu/floats.h"

#include <sys/mman.h>

#include <algorithm>
#include <string>

#include "fewstep/error.h"

namespace fewstep::cpu {
namespace {

constexpr std::size_t kLine = 64, kHugePage = std::size_t{2} << 20;

}  // namespace

// Packed weights are read once a step from more pages than a core has translations for: of 4 KB pages a sixth slower.
Floats::Floats(std::int64_t count, float value)
    : bytes_((static_cast<std::size_t>(count) * sizeof(float) + kLine) / kLine * kLine) {
  data_.reset(static_cast<float*>(std::aligned_alloc(bytes_ < kHugePage ? kLine : kHugePage, bytes_)));
  if (data_ == nullptr) {
    throw DeviceError(Fault::out_of_memory, "scratch: " + std::to_string(bytes_) + " bytes could not be allocated");
  }
  if (bytes_ >= kHugePage) madvise(data_.get(), bytes_ / kHugePage * kHugePage, MADV_HUGEPAGE);
  std::fill_n(data_.get(), count, value);
}

}  // namespace fewstep::cpu

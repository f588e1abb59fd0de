#include "cuda/addresses.h"

#include <algorithm>

#include "cuda/upload.h"

namespace fewstep::cuda {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kUnused = static_cast<std::size_t>(-1);

std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Cubins, and tables that only the host reads, stay where they are.
std::vector<std::size_t> offsets_of_weights(const Plan& plan) {
  std::vector<std::size_t> offsets(plan.weights.size(), kUnused);
  for (const Value& value : plan.values) {
    if (value.buffer < 0) offsets[static_cast<std::size_t>(value.weight)] = 0;
  }
  std::size_t end = 0;
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    if (offsets[i] == kUnused) continue;
    offsets[i] = end;
    end = aligned(end + plan.weights[i].bytes.size());
  }
  return offsets;
}

std::size_t bytes_of_weights(const Plan& plan, const std::vector<std::size_t>& offsets) {
  std::size_t end = 0;
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    if (offsets[i] != kUnused) end = std::max(end, aligned(offsets[i] + plan.weights[i].bytes.size()));
  }
  return end;
}

}  // namespace

Addresses::Addresses(Stream& stream, const Plan& plan)
    : offsets_(offsets_of_weights(plan)),
      weights_(stream, bytes_of_weights(plan, offsets_), "the weights"),
      arena_(stream, static_cast<std::size_t>(plan.arena), "the arena") {
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < offsets_.size(); ++i) {
    if (offsets_[i] != kUnused) segments.push_back({weights_.address() + offsets_[i], plan.weights[i].bytes});
  }
  upload(stream, segments);
  for (const Value& value : plan.values) {
    const auto size = static_cast<std::int64_t>(bytes_of(value.dtype));
    const Address start =
        value.buffer < 0
            ? weights_.address() + offsets_[static_cast<std::size_t>(value.weight)]
            : arena_.address() + static_cast<Address>(plan.buffers[static_cast<std::size_t>(value.buffer)].offset);
    places_.push_back({start + static_cast<Address>(value.offset * size), value.row * size, value.step * size});
  }
}

Address Addresses::of_weight(std::int32_t weight) const noexcept {
  const std::size_t offset = offsets_[static_cast<std::size_t>(weight)];
  return offset == kUnused ? 0 : weights_.address() + offset;
}

}  // namespace fewstep::cuda

#include "cpu/operands.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "cpu/half.h"
#include "fewstep/error.h"
#include "pages.h"

namespace fewstep::cpu {
namespace {

bool is_half(Dtype dtype) noexcept { return dtype == Dtype::f16 || dtype == Dtype::bf16; }

// Items of a weight as they lie in memory here: halves as floats.
void copy_items(Dtype dtype, std::span<const std::byte> bytes, std::byte* to) noexcept {
  if (!is_half(dtype)) {
    std::memcpy(to, bytes.data(), bytes.size());
    return;
  }
  for (std::size_t i = 0; i < bytes.size() / 2; ++i) {
    std::uint16_t half;
    std::memcpy(&half, bytes.data() + 2 * i, sizeof half);
    const float wide = dtype == Dtype::f16 ? of_f16(half) : of_bf16(half);
    std::memcpy(to + 4 * i, &wide, sizeof wide);
  }
}

}  // namespace

Operands::Operands(std::shared_ptr<const Plan> plan) : plan_(std::move(plan)), arena_(plan_->arena) {
  std::vector<Place> places(plan_->weights.size(), Place{nullptr, Dtype::u8});
  values_ = plan_->values;
  bases_.reserve(values_.size());
  for (std::size_t i = 0; i < values_.size(); ++i) {
    Value& value = values_[i];
    std::byte* data;
    if (value.buffer >= 0) {
      if (is_half(value.dtype)) {
        throw PlanError("value " + std::to_string(i) + " is a buffer of halves: between operations a CPU has f32 only");
      }
      data = arena_.data() + plan_->buffers[static_cast<std::size_t>(value.buffer)].offset;
    } else {
      const auto weight = static_cast<std::size_t>(value.weight);
      if (places[weight].data == nullptr) places[weight] = place_of(value.weight);
      value.dtype = places[weight].dtype;
      data = const_cast<std::byte*>(places[weight].data);  // no operation writes a weight
    }
    bases_.push_back(data + value.offset * static_cast<std::int64_t>(bytes_of(value.dtype)));
  }
}

Operands::Place Operands::place_of(std::int32_t index) {
  const Weight& weight = plan_->weights[static_cast<std::size_t>(index)];
  const bool half = is_half(weight.dtype);
  const bool aligned = reinterpret_cast<std::uintptr_t>(weight.bytes.data()) % bytes_of(weight.dtype) == 0;
  const bool stays = !std::ranges::binary_search(plan_->replaceable, index);
  if (!half && aligned && stays) return {weight.bytes.data(), weight.dtype};
  const std::size_t bytes = weight.bytes.size() * (half ? 2 : 1);
  const auto& copy = copies_.emplace_back(std::make_unique_for_overwrite<std::byte[]>(bytes));
  weight_bytes_ += bytes;
  copy_items(weight.dtype, weight.bytes, copy.get());
  if (!stays) replaceable_.emplace(index, copy.get());
  release_pages(*plan_, weight);
  return {copy.get(), half ? Dtype::f32 : weight.dtype};
}

void Operands::replace(const Replacement& replacement) noexcept {
  const auto found = replaceable_.find(replacement.weight);
  if (found == replaceable_.end()) return;  // no value lies in it
  const Weight& weight = plan_->weights[static_cast<std::size_t>(replacement.weight)];
  copy_items(weight.dtype, replacement.bytes, found->second);
}

Operand Operands::operator[](std::int32_t value) const noexcept {
  if (value < 0) return {};
  const auto i = static_cast<std::size_t>(value);
  return {bases_[i], &values_[i]};
}

}  // namespace fewstep::cpu

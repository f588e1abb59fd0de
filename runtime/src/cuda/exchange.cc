#include "cuda/exchange.h"

#include <algorithm>
#include <stdexcept>

namespace fewstep::cuda {
namespace {

constexpr std::size_t kAlignment = 64;  // of buffers, and of places in pinned memory

std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Whether a copy may run over [first, last) of the device's memory: no value lies there at any step.
bool is_gap(const Plan& plan, const Addresses& addresses, Address first, Address last) {
  if (first == last) return true;
  const std::int64_t rows = plan.schedule ? plan.schedule->rows : 0;
  for (std::size_t i = 0; i < plan.values.size(); ++i) {
    const Value& value = plan.values[i];
    const auto index = static_cast<std::int32_t>(i);
    std::int64_t span = 1 + rows * (value.row + value.step);
    for (std::size_t k = 0; k < value.shape.size(); ++k) span += (value.shape[k] - 1) * value.strides[k];
    const Address start = addresses.of(index, {});
    const auto bytes = static_cast<Address>(span) * bytes_of(value.dtype);
    if (start < last && start + bytes > first) return false;
  }
  return true;
}

Copy2d two_dimensional(const Copy& copy) {
  Copy2d rows{};
  rows.width = copy.width;
  rows.height = copy.height;
  return rows;
}

}  // namespace

Exchange::Exchange(const Context& context, const Plan& plan, const Addresses& addresses,
                   std::vector<std::int32_t> values, const char* what)
    : what_(what), slots_(make_slots(plan, addresses, values)), pinned_(context, arrange(plan, addresses), what) {}

Exchange::Slots Exchange::make_slots(const Plan& plan, const Addresses& addresses,
                                     const std::vector<std::int32_t>& values) {
  Slots slots;
  for (const std::int32_t value : values) {
    slots.try_emplace(value, Slot{ViewLayout(plan.values[static_cast<std::size_t>(value)]), addresses.of(value, {})});
  }
  return slots;
}

std::size_t Exchange::arrange(const Plan& plan, const Addresses& addresses) {
  std::vector<Slot*> order;
  for (auto& [value, slot] : slots_) order.push_back(&slot);
  std::ranges::stable_sort(order, {}, &Slot::address);
  std::size_t end = 0;
  const Slot* before = nullptr;
  for (Slot* slot : order) {
    slot->host = aligned(end);
    slot->first = copies_.size();
    const bool dense = slot->layout.dense() && slot->layout.bytes() != 0;
    const bool joins = before != nullptr && dense &&
                       slot->address - (before->address + before->layout.bytes()) == slot->host - end &&
                       is_gap(plan, addresses, before->address + before->layout.bytes(), slot->address);
    if (joins) {
      slot->first = before->first;
      Copy& copy = copies_.back().copy;
      copy.width = copy.pitch = slot->host + slot->layout.bytes() - copy.host;
    } else {
      for (const Copy& copy : slot->layout.copies(slot->address, slot->host)) copies_.push_back({copy});
    }
    slot->last = copies_.size();
    before = dense ? slot : nullptr;
    end = slot->host + slot->layout.bytes();
  }
  return end;
}

const Exchange::Slot& Exchange::slot(std::int32_t value, std::size_t bytes) const {
  const auto found = slots_.find(value);
  if (found == slots_.end()) {
    throw std::invalid_argument("value " + std::to_string(value) + ": expected one of " + what_ + ", got another");
  }
  if (const std::size_t expected = found->second.layout.bytes(); bytes != expected) {
    throw std::invalid_argument("value " + std::to_string(value) + ": expected " + std::to_string(expected) +
                                " bytes, got " + std::to_string(bytes));
  }
  return found->second;
}

void Exchange::write(std::int32_t value, std::span<const std::byte> data) {
  const Slot& s = slot(value, data.size());
  s.layout.to_view_order(data, pinned_.data() + s.host);
  for (std::size_t i = s.first; i < s.last; ++i) copies_[i].due = true;
}

void Exchange::read(std::int32_t value, std::span<std::byte> data) const {
  const Slot& s = slot(value, data.size());
  s.layout.to_caller_order(pinned_.data() + s.host, data);
}

void Exchange::upload(Stream& stream) {
  Driver& driver = stream.driver();
  for (const auto& [copy, due] : copies_) {
    if (!due) continue;
    if (copy.height == 1) {
      driver.check(driver->copy_to_device(copy.device, pinned_.data() + copy.host, copy.width, stream.handle()),
                   "cuMemcpyHtoDAsync");
      continue;
    }
    Copy2d rows = two_dimensional(copy);
    rows.source_type = kMemoryHost;
    rows.source_host = pinned_.data() + copy.host;
    rows.source_pitch = copy.width;
    rows.target_type = kMemoryDevice;
    rows.target_device = copy.device;
    rows.target_pitch = copy.pitch;
    driver.check(driver->copy_2d(&rows, stream.handle()), "cuMemcpy2DAsync");
  }
}

void Exchange::arrived() noexcept {
  for (Planned& planned : copies_) planned.due = false;
}

void Exchange::download(Stream& stream) {
  Driver& driver = stream.driver();
  for (const auto& [copy, due] : copies_) {
    if (copy.height == 1) {
      driver.check(driver->copy_to_host(pinned_.data() + copy.host, copy.device, copy.width, stream.handle()),
                   "cuMemcpyDtoHAsync");
      continue;
    }
    Copy2d rows = two_dimensional(copy);
    rows.source_type = kMemoryDevice;
    rows.source_device = copy.device;
    rows.source_pitch = copy.pitch;
    rows.target_type = kMemoryHost;
    rows.target_host = pinned_.data() + copy.host;
    rows.target_pitch = copy.width;
    driver.check(driver->copy_2d(&rows, stream.handle()), "cuMemcpy2DAsync");
  }
}

}  // namespace fewstep::cuda

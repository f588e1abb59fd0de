#include "cpu/sequence.h"

#include <utility>

namespace fewstep::cpu {

std::vector<Access> accesses_of(const Op& op, const Plan& plan) {
  std::vector<Access> accesses;
  const auto add = [&](std::int32_t value, bool written) {
    if (value < 0) return;
    const std::int32_t buffer = plan.values[static_cast<std::size_t>(value)].buffer;
    if (buffer < 0) return;
    const Buffer& place = plan.buffers[static_cast<std::size_t>(buffer)];
    accesses.push_back({place.offset, place.offset + place.bytes, written});
  };
  for (const std::int32_t value : op.inputs) add(value, false);
  for (const std::int32_t value : op.outputs) add(value, true);
  return accesses;
}

bool Sequence::conflicts(const std::vector<Access>& accesses, bool alone) const noexcept {
  for (const Pending& before : pending_) {
    if (alone && before.alone) continue;  // one thread, one after the other
    for (const Access& now : accesses) {
      const bool overlap = now.begin < before.access.end && before.access.begin < now.end;
      if (overlap && (now.written || before.access.written)) return true;
    }
  }
  return false;
}

void Sequence::append(std::unique_ptr<Kernel> kernel, std::vector<Access> accesses) {
  const bool alone = kernel->alone(), meet = conflicts(accesses, alone);
  if (meet || (!alone && kernel->phases() > 1)) pending_.clear();
  for (const Access& access : accesses) pending_.push_back({access, alone});
  items_.push_back({std::move(kernel), meet, alone});
}

void Sequence::run(Moment moment, int thread, Pool& pool) const noexcept {
  const int threads = pool.threads();
  for (const Item& item : items_) {
    if (item.meet) pool.meet();
    if (item.alone && thread > 0) continue;
    const int phases = item.kernel->phases();
    for (int phase = 0; phase < phases; ++phase) {
      if (phase > 0 && !item.alone) pool.meet();
      item.kernel->run(moment, phase, thread, item.alone ? 1 : threads);
    }
  }
}

std::int64_t Sequence::meetings() const noexcept {
  std::int64_t meetings = 0;
  for (const Item& item : items_) meetings += item.meet + (item.alone ? 0 : item.kernel->phases() - 1);
  return meetings;
}

}  // namespace fewstep::cpu

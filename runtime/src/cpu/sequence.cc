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
    if (alone && before.alone) continue;  // both in part 0, one after the other
    for (const Access& now : accesses) {
      const bool overlap = now.begin < before.access.end && before.access.begin < now.end;
      if (overlap && (now.written || before.access.written)) return true;
    }
  }
  return false;
}

void Sequence::append(std::unique_ptr<Kernel> kernel, std::vector<Access> accesses) {
  const bool alone = kernel->alone();
  const bool apart = conflicts(accesses, alone);
  const int phases = kernel->phases();
  if (apart || (!alone && phases > 1)) pending_.clear();
  for (const Access& access : accesses) pending_.push_back({access, alone});
  for (int phase = 0; phase < phases; ++phase) {
    add({kernel.get(), phase, alone}, phase == 0 ? apart : !alone);
  }
  kernels_.push_back(std::move(kernel));
}

void Sequence::add(const Step& step, bool new_round) {
  if (new_round || rounds_.empty()) rounds_.push_back({steps_.size(), steps_.size(), true});
  steps_.push_back(step);
  Round& round = rounds_.back();
  round.end = steps_.size();
  round.alone = round.alone && step.alone;
}

void Sequence::run(Moment moment, std::int64_t round, int part) const noexcept {
  for (std::size_t i = at(round).first; i < at(round).end; ++i) {
    const Step& step = steps_[i];
    if (step.alone && part > 0) continue;
    step.kernel->run(moment, step.phase, part, step.alone ? 1 : threads_);
  }
}

}  // namespace fewstep::cpu

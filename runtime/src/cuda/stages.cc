#include "cuda/stages.h"

#include "fewstep/error.h"

namespace fewstep::cuda {

Stages::Stages(Stream& stream, const Plan& plan, const Addresses& addresses, const Architecture& architecture,
               const std::string& blaslt)
    : stream_(stream), plan_(plan), blaslt_path_(blaslt), modules_(stream.context(), plan) {
  for (const Stage& stage : plan.stages) {
    Part& part = parts_.emplace_back(Part{stage.name, stage.steps, {}});
    for (const Op& op : stage.ops) {
      bool launched = false;
      for (const Launch& launch : op.launches) {
        if (!architecture.has(launch)) continue;
        add(part, op, launch, addresses);
        launched = true;
      }
      if (!launched) {
        throw DeviceError(Fault::unavailable,
                          op.kind + " " + op.name + ": expected a launch for " + architecture.name() + ", got none");
      }
    }
  }
  for (Part& part : parts_) {
    if (part.name == "tables") tables_ = &part;
  }
}

void Stages::add(Part& part, const Op& op, const Launch& launch, const Addresses& addresses) {
  if (!launch.product) {
    part.launches.emplace_back(PreparedLaunch(stream_.driver(), launch, modules_.function(launch), addresses));
    return;
  }
  if (blaslt_ == nullptr) blaslt_ = std::make_unique<Blaslt>(stream_, blaslt_path_);
  part.launches.emplace_back(PreparedProduct(*blaslt_, plan_, op, *launch.product, addresses));
  ++library_products_;
}

std::int64_t Stages::times(const Part& part, std::int64_t steps) {
  if (part.name == "tables") return 0;
  if (part.name == "modulation") return part.steps == steps ? 1 : 0;
  return part.name == "step" ? steps : 1;
}

void Stages::enqueue_tables(Stream& stream) {
  if (tables_ == nullptr) return;
  for (auto& launch : tables_->launches) std::visit([&](auto& one) { one.enqueue(stream, {}); }, launch);
}

void Stages::enqueue(Stream& stream, std::int64_t steps, std::int64_t first_row) {
  for (Part& part : parts_) {
    for (std::int64_t i = 0; i < times(part, steps); ++i) {
      const Moment moment{.row = first_row + i, .step = i};
      for (auto& launch : part.launches) std::visit([&](auto& one) { one.enqueue(stream, moment); }, launch);
    }
  }
}

std::int64_t Stages::launches(std::int64_t steps) const {
  std::int64_t count = 0;
  for (const Part& part : parts_) count += times(part, steps) * static_cast<std::int64_t>(part.launches.size());
  return count;
}

}  // namespace fewstep::cuda

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

Stages::Steps Stages::steps_of(const Part& part, std::int64_t steps, std::int64_t first) {
  if (part.name == "tables" || (part.name == "modulation" && part.steps != steps)) return {};
  if (part.name == "step") return {first, steps};
  return part.name == "start" ? Steps{first, first + 1} : Steps{0, 1};
}

void Stages::enqueue_tables(Stream& stream) {
  if (tables_ == nullptr) return;
  for (auto& launch : tables_->launches) std::visit([&](auto& one) { one.enqueue(stream, {}); }, launch);
}

void Stages::enqueue(Stream& stream, std::int64_t steps, std::int64_t first_row, std::int64_t first) {
  for (Part& part : parts_) {
    const Steps taken = steps_of(part, steps, first);
    for (std::int64_t i = taken.first; i < taken.last; ++i) {
      const Moment moment{.row = first_row + i, .step = i};
      for (auto& launch : part.launches) std::visit([&](auto& one) { one.enqueue(stream, moment); }, launch);
    }
  }
}

std::int64_t Stages::launches(std::int64_t steps) const {
  std::int64_t count = 0;
  for (const Part& part : parts_) {
    const Steps taken = steps_of(part, steps, 0);
    count += (taken.last - taken.first) * static_cast<std::int64_t>(part.launches.size());
  }
  return count;
}

}  // namespace fewstep::cuda

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "fewstep/error.h"
#include "fewstep/program.h"
#include "oracle/addresses.h"
#include "oracle/arena_gaps.h"
#include "oracle/oracle.h"

namespace oracle {
namespace {

using fewstep::Plan;
using fewstep::Value;

constexpr std::int64_t kMostArena = 1 << 20, kMostSteps = 4;
constexpr double kMostWork = 1 << 22;  // multiplications, by a bound that any op is below

double elements_of(const Value& value) {
  double out = 1;
  for (const std::int64_t size : value.shape) out *= static_cast<double>(size);
  return out;
}

double work_of(const Plan& plan) {
  double out = 0;
  for (const fewstep::Stage& stage : plan.stages) {
    for (const fewstep::Op& op : stage.ops) {
      double read = 1;
      for (const std::int32_t input : op.inputs) read += input < 0 ? 0 : elements_of(value_of(plan, input));
      for (const std::int32_t output : op.outputs) out += read * elements_of(value_of(plan, output));
    }
  }
  return out;
}

// The plan with each buffer and weight in a place of its own, and what must not be touched around them.
class Spread {
 public:
  explicit Spread(const Plan& plan) : plan_(std::make_shared<Plan>(plan)) {
    Plan& made = *plan_;
    made.arena = 0;
    for (fewstep::Buffer& buffer : made.buffers) {
      buffer.offset = made.arena;
      made.arena += (buffer.bytes + 63) / 64 * 64 + 64;
      gaps_.push_back({buffer.offset + buffer.bytes, made.arena - buffer.offset - buffer.bytes});
    }
    for (fewstep::Weight& weight : made.weights) {
      const auto& block = blocks_.emplace_back(std::make_unique<std::byte[]>(weight.bytes.size()));
      std::copy(weight.bytes.begin(), weight.bytes.end(), block.get());
      weight.bytes = {block.get(), weight.bytes.size()};
    }
  }
  const std::shared_ptr<Plan>& plan() const { return plan_; }
  const std::vector<fewstep::Buffer>& gaps() const { return gaps_; }

 private:
  std::shared_ptr<Plan> plan_;
  std::vector<std::unique_ptr<std::byte[]>> blocks_;
  std::vector<fewstep::Buffer> gaps_;
};

void run(const Plan& plan, fewstep::Program& program, std::int64_t steps, std::int64_t first = 0) {
  std::vector<std::vector<std::byte>> blocks;
  fewstep::Inputs inputs;
  fewstep::Outputs outputs;
  const auto block = [&](std::int32_t index) -> std::vector<std::byte>& {
    const Value& value = value_of(plan, index);
    return blocks.emplace_back(static_cast<std::size_t>(elements_of(value)) * bytes_of(value.dtype));
  };
  for (const auto& [name, index] : plan.inputs) inputs.emplace(name, block(index));
  for (const auto& [name, index] : plan.outputs) outputs.emplace(name, block(index));
  try {
    program.run(steps, inputs, outputs, first);
  } catch (const fewstep::DeviceError&) {  // NaN or Inf
  }
}

}  // namespace

void run_on_cpu(const Plan& plan) {
  if (plan.device != "cpu" || plan.arena > kMostArena || work_of(plan) > kMostWork) return;
  const Spread spread(plan);
  const ArenaGaps gaps(spread.gaps());
  try {
    fewstep::Program program(spread.plan(), fewstep::make_cpu_device(spread.plan(), {.threads = 1}));
    fewstep::Inputs tensors;
    for (const std::int32_t index : plan.replaceable) {
      const fewstep::Weight& weight = spread.plan()->weights[static_cast<std::size_t>(index)];
      tensors.emplace(weight.name, weight.bytes);
    }
    program.set_tensors(tensors);
    if (!plan.schedule) return run(plan, program, 1);
    for (const auto& [steps, row] : plan.schedule->counts) {
      for (std::int64_t first = 0; steps <= kMostSteps && first < (plan.begins_anywhere() ? steps : 1); ++first) {
        run(plan, program, steps, first);
      }
    }
  } catch (const std::invalid_argument&) {  // an index that a gather refuses
  } catch (const fewstep::DeviceError&) {
  }
}

}  // namespace oracle

#include "fewstep/device.h"

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "cpu/isa.h"
#include "cpu/operands.h"
#include "cpu/pool.h"
#include "cpu/stages.h"
#include "cpu/transfer.h"
#include "fewstep/error.h"
#include "json_string.h"

namespace fewstep {
namespace {

class CpuDevice : public Device {
 public:
  CpuDevice(std::shared_ptr<const Plan> plan, const CpuOptions& options)
      : plan_(std::move(plan)),
        pool_(options.threads),
        operands_(plan_),
        isa_(cpu::best_isa()),
        stages_(*plan_, operands_, {isa_, options.threads}) {}

  void write(std::int32_t value, std::span<const std::byte> data) override {
    const cpu::Operand operand = operands_[value];
    cpu::copy_in(*operand.value, operand.base, data.data());
  }

  void read(std::int32_t value, std::span<std::byte> data) override {
    const cpu::Operand operand = operands_[value];
    cpu::copy_out(*operand.value, operand.base, data.data());
  }

  void prepare() override {
    stages_.prepare(pool_);
    refuse_faults();
  }

  void replace(std::span<const Replacement> weights) override { stages_.replace(weights, operands_, pool_); }

  void run(std::int64_t steps, std::int64_t first) override {
    stages_.run(steps, first, pool_);
    refuse_faults();
    ++runs_;
  }

  std::string describe() const override {
    return "{\"device\": \"cpu\", \"isa\": " + json_string(cpu::name_of(isa_)) +
           ", \"threads\": " + std::to_string(pool_.threads()) + ", \"arena\": " + std::to_string(plan_->arena) +
           ", \"weights\": " + std::to_string(operands_.weight_bytes()) +
           ", \"scratch\": " + std::to_string(stages_.scratch()) + ", \"runs\": " + std::to_string(runs_) +
           ", \"ops\": " + stages_.describe() + "}";
  }

 private:
  void refuse_faults() const {
    if (const std::string fault = stages_.take_fault(); !fault.empty()) throw std::invalid_argument(fault);
  }

  const std::shared_ptr<const Plan> plan_;
  cpu::Pool pool_;
  cpu::Operands operands_;
  const cpu::Isa isa_;
  const cpu::Stages stages_;
  std::int64_t runs_ = 0;
};

}  // namespace

std::unique_ptr<Device> make_cpu_device(std::shared_ptr<const Plan> plan, const CpuOptions& options) {
  if (plan->device != "cpu") {
    throw DeviceError(Fault::unavailable,
                      "the plan is for the device " + plan->device + ", not for cpu: compile it anew");
  }
  return std::make_unique<CpuDevice>(std::move(plan), options);
}

}  // namespace fewstep

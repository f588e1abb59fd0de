#include "fewstep/device.h"

#include <utility>

#include "cuda/architecture.h"
#include "cuda/description.h"
#include "cuda/exchange.h"
#include "cuda/runs.h"
#include "cuda/upload.h"

namespace fewstep::cuda {
namespace {

std::vector<std::int32_t> written(const Plan& plan) {
  std::vector<std::int32_t> values;
  for (const auto& [name, value] : plan.inputs) values.push_back(value);
  if (plan.schedule) {
    for (const ScheduleRows* rows : {&plan.schedule->tau, &plan.schedule->coefficients, &plan.schedule->scales}) {
      if (rows->value >= 0) values.push_back(rows->value);
    }
  }
  return values;
}

std::vector<std::int32_t> read_back(const Plan& plan) {
  std::vector<std::int32_t> values;
  for (const auto& [name, value] : plan.outputs) values.push_back(value);
  return values;
}

// Members go in reverse: what lies in a context before the context.
class CudaDevice final : public Device {
 public:
  CudaDevice(std::shared_ptr<const Plan> plan, const CudaOptions& options)
      : plan_(std::move(plan)),
        driver_(options.driver),
        context_(driver_, options.index),
        parts_(make_parts(options)) {}

  void write(std::int32_t value, std::span<const std::byte> data) override {
    driver_.refuse_if_dead();
    parts_->inputs.write(value, data);
  }

  void prepare() override {
    guarded([this] {
      parts_->inputs.upload(parts_->stream);
      parts_->stages.enqueue_tables(parts_->stream);
      parts_->stream.synchronize();
      parts_->inputs.arrived();
      prepared_ = true;
      parts_->runs.capture_all();
    });
  }

  void replace(std::span<const Replacement> weights) override {
    guarded([this, weights] {
      std::vector<Segment> segments;
      for (const auto& [weight, bytes] : weights) {
        if (const Address target = parts_->addresses.of_weight(weight); target != 0)
          segments.push_back({target, bytes});
      }
      upload(parts_->stream, segments);
    });
  }

  void run(std::int64_t steps, std::int64_t first) override {
    guarded([this, steps, first] {
      if (parts_->stages.has_tables() && !prepared_) {
        throw std::invalid_argument("run: expected prepare before it, got none");
      }
      parts_->inputs.upload(parts_->stream);
      parts_->runs.enqueue(steps, first);
      parts_->outputs.download(parts_->stream);
      parts_->stream.synchronize();
      parts_->inputs.arrived();
    });
  }

  void read(std::int32_t value, std::span<std::byte> data) override {
    driver_.refuse_if_dead();
    parts_->outputs.read(value, data);
  }

  std::string describe() const override {
    return describe_device({.context = context_,
                            .addresses = parts_->addresses,
                            .inputs = parts_->inputs,
                            .outputs = parts_->outputs,
                            .stages = parts_->stages,
                            .runs = parts_->runs,
                            .architecture = parts_->architecture});
  }

 private:
  struct Parts {
    Parts(const Context& context, const Plan& plan, const CudaOptions& options)
        : architecture(choose_architecture(plan, context)),
          stream(context),
          addresses(stream, plan),
          inputs(context, plan, addresses, written(plan), "the inputs"),
          outputs(context, plan, addresses, read_back(plan), "the outputs"),
          stages(stream, plan, addresses, architecture, options.blaslt),
          runs(stream, stages, plan, options.graph) {}

    Architecture architecture;
    Stream stream;
    Addresses addresses;
    Exchange inputs, outputs;
    Stages stages;
    Runs runs;
  };

  std::unique_ptr<Parts> make_parts(const CudaOptions& options) const {
    const Context::Current current(context_);
    return std::make_unique<Parts>(context_, *plan_, options);
  }

  template <typename F>
  void guarded(F&& body) {
    driver_.refuse_if_dead();
    const Context::Current current(context_);
    try {
      body();
    } catch (...) {
      parts_->stream.settle();
      throw;
    }
  }

  std::shared_ptr<const Plan> plan_;
  Driver driver_;
  Context context_;
  std::unique_ptr<Parts> parts_;
  bool prepared_ = false;
};

}  // namespace
}  // namespace fewstep::cuda

namespace fewstep {

std::unique_ptr<Device> make_cuda_device(std::shared_ptr<const Plan> plan, const CudaOptions& options) {
  return std::make_unique<cuda::CudaDevice>(std::move(plan), options);
}

}  // namespace fewstep

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fewstep/device.h"
#include "fewstep/plan.h"

// Plans for the CUDA device, made of the kernels in tests/data, and what they compute.

constexpr std::size_t kCount = 4;
using Numbers = std::vector<float>;

// A plan in the making: values in buffers of their own, launches of each architecture, and of PTX if it has any.
class PlanBuilder {
 public:
  explicit PlanBuilder(std::vector<std::int64_t> architectures, std::int64_t ptx = 0) {
    plan_.device = "cuda";
    plan_.precision = "float32";
    plan_.model = "{}";
    plan_.architectures = std::move(architectures);
    plan_.ptx = ptx;
    plan_.batch = 1;
  }

  fewstep::Plan& plan() { return plan_; }

  std::int32_t buffer(std::int64_t bytes) {
    plan_.buffers.push_back({plan_.arena, bytes});
    plan_.arena += (bytes + 63) / 64 * 64;
    return static_cast<std::int32_t>(plan_.buffers.size()) - 1;
  }
  std::int32_t value(const fewstep::Value& value) {
    plan_.values.push_back(value);
    return static_cast<std::int32_t>(plan_.values.size()) - 1;
  }
  // Contiguous floats in a buffer of their own.
  std::int32_t floats(std::int64_t count) {
    return value({.shape = {count}, .strides = {1}, .buffer = buffer(count * 4)});
  }
  std::int32_t weight(const Numbers& numbers) {
    const std::string text(reinterpret_cast<const char*>(numbers.data()), numbers.size() * 4);
    const auto count = static_cast<std::int64_t>(numbers.size());
    return value({.shape = {count}, .strides = {1}, .weight = add_weight(text, fewstep::Dtype::f32)});
  }
  std::int32_t add_weight(const std::string& bytes, fewstep::Dtype type) {
    auto block = std::make_shared<std::string>(bytes);
    blocks_.push_back(block);
    plan_.storage = std::make_shared<std::vector<std::shared_ptr<std::string>>>(blocks_);
    plan_.weights.push_back({.name = std::to_string(plan_.weights.size()),
                             .dtype = type,
                             .shape = {static_cast<std::int64_t>(bytes.size() / fewstep::bytes_of(type))},
                             .bytes = std::as_bytes(std::span(block->data(), block->size()))});
    return static_cast<std::int32_t>(plan_.weights.size()) - 1;
  }
  std::int32_t image(const std::string& name) {
    const auto found = images_.find(name);
    if (found != images_.end()) return found->second;
    std::ifstream file(std::string(CUDA_IMAGES) + "/" + name, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), {});
    if (name.ends_with(".ptx")) bytes += '\0';
    return images_[name] = add_weight(bytes, fewstep::Dtype::u8);
  }

  fewstep::Op add(std::int32_t x, std::int32_t y, std::int32_t z) {
    const fewstep::Value& value = plan_.values[static_cast<std::size_t>(z)];
    return op("add", 32, {ptr(x), ptr(y), ptr(z), whole("i32", value.shape.back())});
  }
  fewstep::Op step(std::int32_t x, std::int32_t row, double factor) {
    fewstep::Param real = param("fp32", -1);
    real.real = factor;
    return op("step", 64,
              {ptr(x), ptr(row), whole("i64", 0), whole("i32", kCount), param("step", -1), real, whole("u1", 1)});
  }
  // By cuBLASLt, on every architecture.
  fewstep::Op product(const fewstep::LibraryProduct& product) {
    fewstep::Op op;
    op.kind = op.name = "matmul";
    for (const std::int64_t architecture : plan_.architectures) {
      fewstep::Launch launch;
      launch.architecture = architecture;
      launch.product = product;
      op.launches.push_back(launch);
    }
    return op;
  }
  static fewstep::Param param(const std::string& kind, std::int32_t value) {
    fewstep::Param made;
    made.kind = kind;
    made.value = value;
    return made;
  }
  static fewstep::Param ptr(std::int32_t value) { return param("ptr", value); }
  static fewstep::Param whole(const std::string& kind, std::int64_t value) {
    fewstep::Param made = param(kind, -1);
    made.integer = value;
    return made;
  }

 private:
  fewstep::Op op(const std::string& kernel, std::int64_t threads, std::vector<fewstep::Param> params) {
    params.push_back(param("scratch", -1));
    params.push_back(ptr(-1));
    fewstep::Op op;
    op.kind = "map";
    op.name = kernel;
    const auto launch = [&](std::int64_t architecture, bool is_ptx) {
      const std::string name = kernel + "." + std::to_string(architecture) + (is_ptx ? ".ptx" : ".cubin");
      op.launches.push_back({.image = image(name),
                             .is_ptx = is_ptx,
                             .entry = kernel + "_kernel",
                             .architecture = architecture,
                             .threads = threads,
                             .grid = {1, 1, 1},
                             .params = params});
    };
    for (const std::int64_t architecture : plan_.architectures) launch(architecture, false);
    if (plan_.ptx != 0) launch(plan_.ptx, true);
    return op;
  }

  fewstep::Plan plan_;
  std::map<std::string, std::int32_t> images_;
  std::vector<std::shared_ptr<std::string>> blocks_;
};

// A generation in small: its result is `expected`.
struct Generation {
  std::shared_ptr<const fewstep::Plan> plan;
  Numbers weight{1, 2, 3, 4}, tau{2, 1, 0.5f};
  std::int32_t x = 0, y = 0, tau_value = 0, out = 0, twice = 0, weight_index = 0;

  Numbers expected(std::int64_t steps, const Numbers& x_in, const Numbers& y_in, std::int64_t first = 0) const {
    Numbers result;
    for (std::size_t k = 0; k < kCount; ++k) {
      const float p = x_in[k] + y_in[k];
      float s = p + weight[k];
      for (std::int64_t i = first; i < steps; ++i) {
        const float row = 2 * tau[static_cast<std::size_t>(plan->schedule->counts.at(steps) + i)];
        s = s * row + static_cast<float>(i) * 0.5f + (i == 0 ? p + weight[k] : p + p);
      }
      result.push_back(s + s);
    }
    return result;
  }
};

// The same by products of cuBLASLt, where the sums of a Generation are such: of rows by the identity.
inline void with_products(PlanBuilder& build, const Generation& made) {
  fewstep::Plan& plan = build.plan();
  Numbers ones(kCount * kCount);
  for (std::size_t k = 0; k < kCount; ++k) ones[k * kCount + k] = 1;
  const std::int32_t identity = build.weight(ones);
  plan.values[static_cast<std::size_t>(identity)].shape = {kCount, kCount};
  plan.values[static_cast<std::size_t>(identity)].strides = {kCount, 1};
  const auto row = [&](std::int32_t of) {
    fewstep::Value value = plan.values[static_cast<std::size_t>(of)];
    value.shape = {1, kCount};
    value.strides = {kCount, 1};
    return build.value(value);
  };
  const std::int32_t workspace =
      build.value({.dtype = fewstep::Dtype::u8, .shape = {1000}, .strides = {1}, .buffer = build.buffer(1000)});
  const std::int32_t copy = build.floats(kCount);
  for (fewstep::Stage& stage : plan.stages) {
    std::vector<fewstep::Op>& ops = stage.ops;
    const auto param = [&](std::size_t op, std::size_t index) { return ops[op].launches[0].params[index].value; };
    if (stage.name == "start") {
      ops[0] = build.product({.a = row(param(0, 0)), .b = identity, .bias = param(0, 1), .y = row(param(0, 2))});
    } else if (stage.name == "step") {
      const std::int32_t moving = row(param(1, 1)), s = param(1, 0);
      ops[1] = build.add(s, copy, s);
      ops.insert(ops.begin(), build.product({.a = moving, .b = identity, .y = row(copy), .workspace = workspace}));
    } else if (stage.name == "finish") {
      ops[0] = build.product({.a = row(param(0, 0)), .b = identity, .y = row(made.out), .scale = 2});
    }
  }
}

inline Generation make_generation(std::vector<std::int64_t> architectures = {80, 90}, std::int64_t ptx = 0,
                                  bool has_products = false) {
  PlanBuilder build(std::move(architectures), ptx);
  fewstep::Plan& plan = build.plan();
  Generation made;
  made.x = build.floats(kCount);
  made.y = build.floats(kCount);
  made.tau_value = build.floats(3);
  const std::int32_t table = build.floats(3), p = build.floats(kCount), q = build.floats(2 * kCount);
  const std::int32_t s = build.floats(kCount);
  made.out = build.floats(kCount);
  made.twice = build.floats(kCount);
  const std::int32_t w = build.weight(made.weight);
  const auto part = [&](std::int32_t of, std::int64_t count, std::int64_t offset, std::int64_t row, std::int64_t step) {
    const std::int32_t buffer = plan.values[static_cast<std::size_t>(of)].buffer;
    return build.value(
        {.shape = {count}, .strides = {1}, .offset = offset, .row = row, .step = step, .buffer = buffer});
  };
  const std::int32_t row = part(table, 1, 0, 1, 0), q_i = part(q, kCount, 0, 0, kCount);
  const std::int32_t q_0 = part(q, kCount, 0, 0, 0), q_1 = part(q, kCount, kCount, 0, 0);
  plan.stages = {{"tables", 0, {build.add(made.tau_value, made.tau_value, table)}},
                 {"prompt", 0, {build.add(made.x, made.y, p)}},
                 {"modulation", 1, {build.add(p, w, q_0)}},
                 {"modulation", 2, {build.add(p, w, q_0), build.add(p, p, q_1)}},
                 {"start", 0, {build.add(p, w, s)}},
                 {"step", 0, {build.step(s, row, 0.5), build.add(s, q_i, s)}},
                 {"finish", 0, {build.add(s, s, made.out), build.add(made.x, made.x, made.twice)}}};
  made.weight_index = plan.values[static_cast<std::size_t>(w)].weight;
  plan.replaceable = {made.weight_index};
  plan.inputs = {{"x", made.x}, {"y", made.y}};
  plan.outputs = {{"out", made.out}, {"twice", made.twice}};
  plan.schedule = fewstep::ScheduleTable{
      .counts = {{1, 0}, {2, 1}}, .rows = 3, .tau = {made.tau_value, -1}, .coefficients = {}, .scales = {}};
  if (has_products) with_products(build, made);
  made.plan = std::make_shared<const fewstep::Plan>(std::move(plan));
  return made;
}

inline std::span<const std::byte> bytes_of(const Numbers& numbers) { return std::as_bytes(std::span(numbers)); }

inline Numbers read_floats(fewstep::Device& device, std::int32_t value, std::size_t count = kCount) {
  Numbers numbers(count);
  device.read(value, std::as_writable_bytes(std::span(numbers)));
  return numbers;
}

// A device that was handed its schedule, as a Program does.
inline std::unique_ptr<fewstep::Device> open(const Generation& made, bool graph = true) {
  auto device =
      fewstep::make_cuda_device(made.plan, {.index = 0, .driver = FAKE_CUDA, .blaslt = FAKE_CUDA, .graph = graph});
  device->write(made.tau_value, bytes_of(made.tau));
  device->prepare();
  return device;
}

inline Numbers request(fewstep::Device& device, const Generation& made, std::int64_t steps, const Numbers& x,
                       const Numbers& y, std::int64_t first = 0) {
  device.write(made.x, bytes_of(x));
  device.write(made.y, bytes_of(y));
  device.run(steps, first);
  return read_floats(device, made.out);
}

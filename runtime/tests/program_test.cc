#include "fewstep/program.h"

#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "fewstep/error.h"

namespace {

using namespace fewstep;

// y = x + steps + 100 first + sum of the schedule + first numbers of what replaced weights, on a device that is no
// device; it ends the test if two threads are in it at once.
class Adder : public Device {
 public:
  explicit Adder(const Plan& plan) : plan_(plan), stored_(plan.values.size()) {}
  void write(std::int32_t value, std::span<const std::byte> data) override {
    const Alone alone(busy_);
    stored_[static_cast<std::size_t>(value)].assign(data.begin(), data.end());
  }
  void prepare() override {
    const Alone alone(busy_);
    table_ = 0;
    for (const auto& [name, value] : {std::pair{"tau", 2}, {"coefficients", 3}, {"scales", 4}}) {
      for (const float x : floats(value)) table_ += x;
    }
  }
  void replace(std::span<const Replacement> weights) override {
    const Alone alone(busy_);
    for (const Replacement& replacement : weights) {
      float x;
      std::memcpy(&x, replacement.bytes.data(), sizeof x);
      added_ += x;
    }
  }
  void run(std::int64_t steps, std::int64_t first) override {
    const Alone alone(busy_);
    std::vector<float> y = floats(0);
    for (float& x : y) x += static_cast<float>(steps + 100 * first) + table_ + added_;
    stored_[1].assign(std::as_bytes(std::span(y)).begin(), std::as_bytes(std::span(y)).end());
    const std::int32_t flags[] = {0, y[0] != y[0]};
    stored_[5].assign(std::as_bytes(std::span(flags)).begin(), std::as_bytes(std::span(flags)).end());
  }
  void read(std::int32_t value, std::span<std::byte> data) override {
    const Alone alone(busy_);
    std::copy(stored_[static_cast<std::size_t>(value)].begin(), stored_[static_cast<std::size_t>(value)].end(),
              data.begin());
  }
  std::string describe() const override { return "{}"; }

 private:
  struct Alone {
    explicit Alone(std::atomic<int>& busy) : busy_(busy) { CHECK(busy_++ == 0); }
    ~Alone() { --busy_; }
    std::atomic<int>& busy_;
  };
  std::vector<float> floats(int value) const {
    const std::vector<std::byte>& bytes = stored_[static_cast<std::size_t>(value)];
    std::vector<float> result(bytes.size() / sizeof(float));
    if (!bytes.empty()) std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }

  const Plan& plan_;
  std::vector<std::vector<std::byte>> stored_;
  float table_ = 0, added_ = 0;
  std::atomic<int> busy_{0};
};

const float kTau[] = {1, 2, 3}, kCoefficients[27] = {4}, kScales[] = {5, 0, 0, 0, 0, 0}, kFactor[2] = {};

std::shared_ptr<Plan> plan_of(bool generation) {
  auto plan = std::make_shared<Plan>();
  plan->device = "cpu";
  plan->values.resize(6);
  plan->values[0].shape = plan->values[1].shape = {2, 2};
  plan->values[2].shape = {3};
  plan->values[3].shape = {3, 9};
  plan->values[4].shape = {3, 2};
  plan->values[5].shape = {2};
  plan->values[5].dtype = Dtype::i32;
  plan->inputs = {{"x", 0}};
  plan->outputs = {{"y", 1}};
  if (generation) {
    plan->outputs.emplace("flag", 5);
    plan->weights = {{"t", Dtype::f32, {3}, std::as_bytes(std::span(kTau))},
                     {"c", Dtype::f32, {3, 9}, std::as_bytes(std::span(kCoefficients))},
                     {"s", Dtype::f32, {3, 2}, std::as_bytes(std::span(kScales))}};
    plan->schedule = ScheduleTable{{{1, 0}, {2, 1}}, 3, {2, 0}, {3, 1}, {4, 2}};
    plan->weights.push_back({"d", Dtype::f32, {2}, std::as_bytes(std::span(kFactor))});
    plan->weights.push_back({"e", Dtype::f16, {4}, std::as_bytes(std::span(kFactor))});
    plan->replaceable = {3, 4};
  }
  return plan;
}

Program program_of(bool generation) {
  const std::shared_ptr<Plan> plan = plan_of(generation);
  return Program(plan, std::make_unique<Adder>(*plan));
}

std::vector<float> run(Program& program, std::int64_t steps, std::vector<float> x) {
  std::vector<float> y(4);
  program.run(steps, {{"x", std::as_bytes(std::span(x))}}, {{"y", std::as_writable_bytes(std::span(y))}});
  return y;
}

template <typename Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return {};
}

void test_runs_and_schedules() {
  Program program = program_of(true);
  CHECK((run(program, 1, {1, 2, 3, 4}) == std::vector<float>{17, 18, 19, 20}));
  CHECK((run(program, 2, {1, 2, 3, 4}) == std::vector<float>{18, 19, 20, 21}));
  const std::vector<float> zeros(27);
  program.set_schedule(std::span(zeros).first(3), zeros, std::span(zeros).first(6));
  CHECK((run(program, 1, {1, 2, 3, 4}) == std::vector<float>{2, 3, 4, 5}));
}

// Where the first state is an input a run begins with any of its steps.
void test_a_run_begins_with_a_later_step() {
  const std::shared_ptr<Plan> plan = plan_of(true);
  plan->inputs = {{"state", 0}};
  Program program(plan, std::make_unique<Adder>(*plan)), other = program_of(true);
  const std::vector<float> x{1, 2, 3, 4};
  std::vector<float> y(4);
  const auto begin = [&](Program& with, const char* input, std::int64_t steps, std::int64_t first) {
    with.run(steps, {{input, std::as_bytes(std::span(x))}}, {{"y", std::as_writable_bytes(std::span(y))}}, first);
  };
  begin(program, "state", 2, 1);
  CHECK((y == std::vector<float>{118, 119, 120, 121}));
  begin(program, "state", 2, 0);
  CHECK((y == std::vector<float>{18, 19, 20, 21}));
  CHECK(refusal([&] { begin(program, "state", 2, 2); }) == "first must be 0 to 1, got 2");
  CHECK(refusal([&] { begin(program, "state", 1, -1); }) == "first must be 0 to 0, got -1");
  CHECK(refusal([&] { begin(other, "x", 2, 1); }) ==
        "first must be 0 to 0, got 1: the plan has no input \"state\" to begin with");
}

void test_refusals() {
  Program program = program_of(true), network = program_of(false);
  std::vector<float> x(4);
  const std::span<const std::byte> bytes = std::as_bytes(std::span(x));
  const std::span<std::byte> out = std::as_writable_bytes(std::span(x));
  CHECK(refusal([&] { run(program, 3, x); }) == "steps must be one of 1, 2, got 3");
  CHECK(refusal([&] { run(network, 2, x); }) == "steps must be one of 1, got 2");
  CHECK(refusal([&] { run(program, 1, {1, 2}); }) == "input \"x\" must have 16 bytes, got 8");
  CHECK(refusal([&] { program.run(1, {}, {}); }) == "the plan's inputs are x; got none");
  CHECK(refusal([&] { program.run(1, {{"x", bytes}, {"z", bytes}}, {}); }) ==
        "no input is named \"z\": the plan has x");
  CHECK(refusal([&] { program.run(1, {{"x", bytes}}, {{"q", out}}); }) ==
        "no output is named \"q\": the plan has flag, y");
  CHECK(refusal([&] { program.run(1, {{"x", bytes}}, {{"y", out.first(15)}}); }) ==
        "output \"y\" must have 16 bytes, got 15");
  const std::vector<float> rows(27), bad(6, std::numeric_limits<float>::quiet_NaN());
  CHECK(refusal([&] { network.set_schedule(rows, rows, rows); }) ==
        "the plan is one network: it has no schedule to set");
  CHECK(refusal([&] { program.set_schedule(rows, rows, rows); }) == "the schedule's tau must have 3 numbers, got 27");
  CHECK(refusal([&] { program.set_schedule(std::span(rows).first(3), rows, bad); }) ==
        "the schedule's scales must be finite");
  CHECK((run(program, 1, {1, 2, 3, 4}) == std::vector<float>{17, 18, 19, 20}));  // nothing was changed
}

void test_tensors_are_replaced_together_or_not_at_all() {
  Program program = program_of(true), network = program_of(false);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float one[] = {1, 0}, bad[] = {0, nan};
  const std::uint16_t two[] = {0, 0x4000, 0, 0}, inf[] = {0, 0, 0, 0xfc00};
  const auto bytes = [](const auto& of) { return std::as_bytes(std::span(of)); };
  CHECK(refusal([&] { program.set_tensors({{"d", bytes(one)}, {"t", bytes(one)}}); }) ==
        "no tensor that can be replaced is named \"t\": the plan has 2 of them");
  CHECK(refusal([&] { network.set_tensors({{"d", bytes(one)}}); }) ==
        "no tensor that can be replaced is named \"d\": the plan has 0 of them");
  CHECK(refusal([&] { program.set_tensors({{"d", bytes(one)}, {"e", bytes(two).first(6)}}); }) ==
        "tensor \"e\" must have 8 bytes, got 6");
  CHECK(refusal([&] { program.set_tensors({{"d", bytes(bad)}}); }) == "tensor \"d\" must be finite, got NaN or Inf");
  CHECK(refusal([&] { program.set_tensors({{"d", bytes(one)}, {"e", bytes(inf)}}); }) ==
        "tensor \"e\" must be finite, got NaN or Inf");
  CHECK(run(program, 1, {0, 0, 0, 0})[0] == 16);  // nothing was changed
  program.set_tensors({});
  program.set_tensors({{"d", bytes(one)}});
  CHECK(run(program, 1, {0, 0, 0, 0})[0] == 17);
  alignas(4) std::byte odd[9];
  std::memcpy(odd + 1, one, 8);
  program.set_tensors({{"d", std::span<const std::byte>(odd).subspan(1)}});  // from any address
  CHECK(run(program, 1, {0, 0, 0, 0})[0] == 18);
}

void test_a_set_flag_is_numerical() {
  Program program = program_of(true);
  std::string message;
  try {
    run(program, 2, {std::numeric_limits<float>::quiet_NaN(), 0, 0, 0});
  } catch (const DeviceError& error) {
    if (error.fault() == Fault::numerical) message = error.what();
  }
  CHECK(message == "image 1 of 2 met NaN or Inf in its 2 steps");
  CHECK(run(program, 1, {0, 0, 0, 0})[0] == 16);  // the next request works
}

void test_threads_are_served_one_after_another() {
  Program program = program_of(true);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 500; ++i) {
        const auto x = static_cast<float>(caller * 1000 + i);
        wrong += run(program, 1 + i % 2, {x, x, x, x})[3] != x + 16 + static_cast<float>(i % 2);
        program.set_tensors({{"d", std::as_bytes(std::span(kFactor))}});
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

}  // namespace

int main() {
  test_runs_and_schedules();
  test_a_run_begins_with_a_later_step();
  test_refusals();
  test_tensors_are_replaced_together_or_not_at_all();
  test_a_set_flag_is_numerical();
  test_threads_are_served_one_after_another();
}

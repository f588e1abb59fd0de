#include <malloc.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "check.h"
#include "fewstep/program.h"

namespace {

std::atomic<long> allocations{0};

void* counted(std::size_t size) {
  ++allocations;
  if (void* data = std::malloc(size)) return data;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
void* operator new[](std::size_t size, const std::nothrow_t& none) noexcept { return operator new(size, none); }
void operator delete(void* data) noexcept { std::free(data); }
void operator delete[](void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }
void operator delete[](void* data, std::size_t) noexcept { std::free(data); }

namespace {

using namespace fewstep;

constexpr std::int64_t kRows = 33, kColumns = 48;
std::vector<float> weight(kColumns* kColumns, 0.5f);

Value view(std::vector<std::int64_t> shape, std::int32_t buffer, std::int32_t stored = -1) {
  Value value{Dtype::f32, shape, {shape[1], 1}};
  value.buffer = buffer;
  value.weight = stored;
  return value;
}

// y = (x w) + 1, z = y transposed: a product, a map and a copy.
std::shared_ptr<Plan> plan_of_three_ops() {
  auto plan = std::make_shared<Plan>();
  plan->device = "cpu";
  plan->precision = "float32";
  plan->batch = 1;
  const std::int64_t bytes = kRows * kColumns * 4 / 64 * 64 + 64;
  plan->arena = 4 * bytes;
  for (std::int64_t i = 0; i < 4; ++i) plan->buffers.push_back({i * bytes, bytes});
  plan->weights = {{"w", Dtype::f32, {kColumns, kColumns}, std::as_bytes(std::span(weight))}};
  plan->values = {view({kRows, kColumns}, 0), view({kColumns, kColumns}, -1, 0), view({kRows, kColumns}, 1),
                  view({kRows, kColumns}, 2), view({kColumns, kRows}, 2),        view({kColumns, kRows}, 3)};
  plan->values[4].strides = {1, kColumns};
  plan->inputs = {{"x", 0}};
  plan->outputs = {{"z", 5}};
  using Code = std::vector<Instruction>;
  const Attribute none = std::string();
  Stage stage{"network", 0, {}};
  stage.ops.push_back({"matmul", "product", {0, 1}, {2}, {{"activation", none}, {"scale", 1.0}, {"glu", none}}, {}});
  stage.ops.push_back({"map", "sum", {2}, {3}, {{"code", Code{{"const", 1, {}}, {"add", 0, {0, 1}}}}}, {}});
  stage.ops.push_back({"map", "copy", {4}, {5}, {{"code", Code{}}}, {}});
  plan->stages = {stage};
  return plan;
}

void test_a_run_allocates_nothing(int threads) {
  const std::shared_ptr<const Plan> plan = plan_of_three_ops();
  Program program(plan, make_cpu_device(plan, {threads}));
  std::vector<float> x(kRows * kColumns), z(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % kColumns == 3 ? i / kColumns : 0);
  const Inputs inputs{{"x", std::as_bytes(std::span(x))}};
  const Outputs outputs{{"z", std::as_writable_bytes(std::span(z))}};
  program.run(1, inputs, outputs);
  const long before = allocations;
  const std::size_t held = mallinfo2().uordblks;
  for (int run = 0; run < 50; ++run) program.run(1, inputs, outputs);
  CHECK(allocations == before);
  CHECK(mallinfo2().uordblks == held);
  for (std::size_t i = 0; i < z.size(); ++i) CHECK(z[i] == 0.5f * static_cast<float>(i % kRows) + 1);
}

}  // namespace

int main() {
  test_a_run_allocates_nothing(1);
  test_a_run_allocates_nothing(3);
}

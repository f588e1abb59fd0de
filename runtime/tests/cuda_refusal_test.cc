#include <string>

#include "cuda_check.h"
#include "cuda_plan.h"

// What cannot run a plan says so, with both sides, and leaves nothing behind.
namespace {

using fewstep::Fault;

std::string refusal(Fault fault, const fewstep::Plan& plan, const fewstep::CudaOptions& options) {
  const auto shared = std::make_shared<const fewstep::Plan>(plan);
  const std::string message = fault_of(fault, [&] { fewstep::make_cuda_device(shared, options); });
  CHECK(!contains(message, "\n"));
  check_clean();
  return message;
}

std::string refusal(const fake_cuda::Settings& settings, const fewstep::Plan& plan, int index = 0,
                    Fault fault = Fault::unavailable) {
  fake_cuda::reset(settings);
  return refusal(fault, plan, {.index = index, .driver = FAKE_CUDA});
}

void test_drivers(const fewstep::Plan& plan) {
  fake_cuda::reset();
  const std::string none = refusal(Fault::unavailable, plan, {.index = 0, .driver = "libcuda-of-nobody.so.1"});
  CHECK(contains(none, "no NVIDIA driver") && contains(none, "libcuda-of-nobody.so.1"));
  const std::string other = refusal(Fault::unavailable, plan, {.index = 0, .driver = "libm.so.6"});
  CHECK(contains(other, "without cuInit"));
  const std::string hollow = refusal(Fault::unavailable, plan, {.index = 0, .driver = HOLLOW_CUDA});
  CHECK(contains(hollow, "without cuGetErrorName") && contains(hollow, "install a newer NVIDIA driver"));
  CHECK(contains(refusal({.version = 11080}, plan), "expected the driver of CUDA 12.0 or later, got CUDA 11.8"));
}

void test_devices(const fewstep::Plan& plan) {
  CHECK(contains(refusal({.devices = 0}, plan), "cuInit"));
  CHECK(contains(refusal({}, plan, 1), "device 1"));
  CHECK(contains(refusal({}, plan, -1), "device -1"));
  CHECK(contains(refusal({.major = 10, .minor = 0}, plan), "expected sm_100"));
  CHECK(contains(refusal({.major = 10, .minor = 0}, plan), "got a plan for sm_80, sm_90"));
  CHECK(contains(refusal({.major = 7, .minor = 5}, plan), "expected sm_75 (Fake \"GPU\")"));
  fewstep::Plan hopper = *make_generation({90}).plan;
  CHECK(contains(refusal({.major = 9, .minor = 1}, hopper), "sm_91"));
  hopper.ptx = 100;
  CHECK(contains(refusal({.major = 9, .minor = 1}, hopper), "sm_90 and PTX of sm_100"));
}

void test_memory(fewstep::Plan plan) {
  const std::string weights = refusal({.memory = 128}, plan, 0, Fault::out_of_memory);
  CHECK(contains(weights, "the weights, 256 bytes of device memory, of which 128 of 128 are free"));
  plan.arena = std::int64_t{1} << 40;
  const std::string arena = refusal({}, plan, 0, Fault::out_of_memory);
  CHECK(contains(arena, "the arena, 1099511627776 bytes") && contains(arena, "CUDA_ERROR_OUT_OF_MEMORY (2)"));
}

// In the first launch of a plan.
template <typename F>
fewstep::Plan changed(const fewstep::Plan& plan, F&& change) {
  fewstep::Plan copy = plan;
  for (fewstep::Launch& launch : copy.stages[1].ops[0].launches) change(launch);
  return copy;
}

void test_launches(const fewstep::Plan& plan) {
  const auto much = [](fewstep::Launch& launch) { launch.shared = 200 * 1024; };
  const std::string shared = refusal({.shared = 99 * 1024}, changed(plan, much));
  CHECK(contains(shared, "204800 bytes of shared memory") && contains(shared, "101376"));
  const auto wide = [](fewstep::Launch& launch) { launch.threads = 64; };
  CHECK(contains(refusal({}, changed(plan, wide)), "expected at most 32 threads a block, got 64"));
  const auto unknown = [](fewstep::Launch& launch) { launch.entry = "no_kernel"; };
  CHECK(contains(refusal({}, changed(plan, unknown)), "cuModuleGetFunction"));
  const auto foreign = [](fewstep::Launch& launch) { launch.architecture = 100; };
  CHECK(contains(refusal({}, changed(plan, foreign)), "expected a launch for sm_90, got none"));
  const fewstep::Plan portable = *make_generation({90}, 80).plan;
  CHECK(contains(refusal({.major = 10}, changed(portable, foreign)), "expected a launch for PTX of sm_80, got none"));
  fewstep::Plan broken = plan;
  const Numbers nothing(16);
  broken.weights[static_cast<std::size_t>(plan.stages[1].ops[0].launches[1].image)].bytes = bytes_of(nothing);
  CHECK(contains(refusal({}, broken), "cuModuleLoadDataEx of "));
}

}  // namespace

// The driver's compiler is quoted, on one line.
void test_ptx() {
  const fewstep::Plan plan = *make_generation({90}, 80).plan;
  fewstep::Plan empty = plan;
  fewstep::Weight& ptx = empty.weights[static_cast<std::size_t>(plan.stages[0].ops[0].launches[1].image)];
  std::string text(reinterpret_cast<const char*>(ptx.bytes.data()), ptx.bytes.size());
  text.replace(text.find("ret;"), 4, "    ");
  ptx.bytes = std::as_bytes(std::span(text));
  const std::string said = refusal({.major = 10}, empty);
  CHECK(contains(said, "cuModuleLoadDataEx of " + ptx.name + ", ptxas application ptx input, line 8; fatal"));
  CHECK(contains(said, "a kernel without code ptxas fatal") && contains(said, "(218)"));
  text.replace(text.find("    "), 4, "ret;");
  text.replace(text.find(".version 8.0"), 12, ".version 8.9");
  CHECK(contains(refusal({.version = 12080, .major = 10}, empty), "(222)"));
}

int main() {
  const Generation made = make_generation();
  test_drivers(*made.plan);
  test_devices(*made.plan);
  test_memory(*made.plan);
  test_launches(*made.plan);
  test_ptx();
}

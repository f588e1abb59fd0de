// Times the operations between products at the default model's shapes, and some at a large UNet's.
//
// fused: microseconds of one thread alone, and of the slower of two without what their meeting costs; the least of many
// runs.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "kernel_case.h"

namespace fewstep::cpu {
namespace {

double microseconds(const std::function<void()>& call) {
  double least = 1e30;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 20 || std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(200); ++i) {
    const auto start = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    least = std::min(least, took.count());
  }
  return least;
}

void time(const char* name, KernelCase test, KernelCase::Maker make) {
  Problem problem{test.op, {}, {}, best_isa(), 2};
  const auto bind = [](std::optional<Tensor>& t) {
    return t ? Operand{t->bytes.data() + static_cast<std::size_t>(t->value.offset) * bytes_of(t->value.dtype),
                       &t->value}
             : Operand{};
  };
  for (auto& t : test.inputs) problem.inputs.push_back(bind(t));
  for (auto& t : test.outputs) problem.outputs.push_back(bind(t));
  const std::unique_ptr<Kernel> kernel = make(problem);
  const auto run = [&](int thread, int threads) {
    for (int phase = 0; phase < kernel->phases(); ++phase) kernel->run({}, phase, thread, threads);
  };
  const double one = microseconds([&] { run(0, 1); });
  const double two = std::max(microseconds([&] { run(0, 2); }), microseconds([&] { run(1, 2); }));
  std::printf("%-34s %9.2f %9.2f  %s%s\n", name, one, two, kernel->choice().c_str(), kernel->alone() ? " alone" : "");
}

Tensor normals(Tensor t) {
  Random random(1);
  t.fill([&] { return normal(random); });
  return t;
}

Tensor image(std::int64_t C, std::int64_t side) { return normals(tensor({1, C, side, side}, {0, 2, 3, 1})); }

void time_norm(const char* name, std::int64_t C, std::int64_t side, std::int64_t groups, const char* activation) {
  KernelCase test;
  test.op = {"group_norm", "bench", {}, {}, {}, {}};
  test.op.attributes = {{"groups", groups}, {"eps", 1e-5}, {"activation", std::string(activation)}};
  test.inputs = {image(C, side),          normals(tensor({C})),    normals(tensor({C})),
                 normals(tensor({1, C})), normals(tensor({1, C})), {}};
  test.outputs = {image(C, side), {}};
  time(name, test, make_group_norm);
}

void time_attention(const char* name, std::int64_t H, std::int64_t N, std::int64_t D) {
  KernelCase test;
  test.op = {"attention", "bench", {}, {}, {}, {}};
  test.op.attributes = {{"scale", 0.125}, {"causal", std::int64_t{0}}};
  const Tensor heads = normals(tensor({1, H, N, D}, {0, 2, 1, 3}));
  test.inputs = {heads, heads, heads, {}};
  test.outputs = {heads};
  time(name, test, make_attention);
}

void time_map(const char* name, std::vector<Instruction> code, const std::vector<Tensor>& inputs, const Tensor& y) {
  KernelCase test;
  test.op = {"map", "bench", {}, {}, {}, {}};
  test.op.attributes["code"] = std::move(code);
  test.inputs.assign(inputs.begin(), inputs.end());
  test.outputs = {y};
  time(name, test, make_map);
}

void time_sampler() {
  KernelCase test;
  test.op = {"sampler_step", "bench", {}, {}, {}, {}};
  Tensor seeds = tensor({1}, Dtype::i64), row = tensor({9}), flag = tensor({1}, Dtype::i32);
  seeds.fill([] { return 7.0; });
  row.fill({1, 0.5, 0.2, 1, 0.5, 0.5, 0, 1, 1});
  const Tensor x = normals(tensor({1, 12, 16, 16}));
  test.inputs = {x, image(12, 16), row, seeds, {}, {}};
  test.outputs = {x, x, flag, {}};
  time("sampler_step 12x16x16", test, make_sampler_step);
  row.fill({1, 0.5, 0, 1, 0.5, 0.5, 0, 1, 1});
  test.inputs[2] = row;
  time("the same without noise", test, make_sampler_step);
}

void run_all() {
  std::printf("%-34s %9s %9s\n", name_of(best_isa()), "1 thread", "2 threads");
  time_norm("group_norm silu 48x16x16", 48, 16, 8, "silu");
  time_norm("group_norm 48x16x16", 48, 16, 8, "");
  time_norm("group_norm silu 96x8x8", 96, 8, 8, "silu");
  time_norm("group_norm silu 192x4x4", 192, 4, 8, "silu");
  time_norm("group_norm silu 320x64x64", 320, 64, 32, "silu");
  time_attention("attention 4 heads, 16 x 48", 4, 16, 48);
  time_attention("attention 8 heads, 1024 x 64", 8, 1024, 64);
  time_map("silu 48x16x16", {{"silu", 0, {0}}}, {image(48, 16)}, image(48, 16));
  time_map("add 48x16x16", {{"add", 0, {0, 1}}}, {image(48, 16), image(48, 16)}, image(48, 16));
  time_map("copy NHWC to NCHW 12x16x16", {}, {image(12, 16)}, tensor({1, 12, 16, 16}));
  time_map("copy NCHW to NHWC 320x64x64", {}, {normals(tensor({1, 320, 64, 64}))}, image(320, 64));
  time_map("gelu 1280x64x64", {{"gelu", 0, {0}}}, {image(1280, 64)}, image(1280, 64));
  time_sampler();
}

}  // namespace
}  // namespace fewstep::cpu

int main() { fewstep::cpu::run_all(); }

// Times conv2d and matmul at the default model's shapes and at a large UNet's, against the multiply-adds the core can
// do.
//
// products [THREADS [NAME [BLAS]]]: those whose names hold NAME; microseconds are the least and the median of the runs;
// share is of THREADS times one core's peak, which is measured in the same run; "model" sums the forward pass of
// toons16-32.

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "blas.h"
#include "cpu/gemm.h"
#include "cpu/kernels.h"

namespace fewstep::cpu {
namespace {

struct Shape {
  const char* name;
  int calls;  // of the model's forward pass; 0: not of the model
  std::int64_t batch, channels, side, outputs, kernel, stride;
};

constexpr Shape kConvs[] = {
    {"in 12>48 3x3", 1, 1, 12, 16, 48, 3, 1},        {"48 3x3", 4, 1, 48, 16, 48, 3, 1},
    {"shrink 48>96 3x3/2", 1, 1, 48, 16, 96, 3, 2},  {"96 3x3", 4, 1, 96, 8, 96, 3, 1},
    {"shrink 96>192 3x3/2", 1, 1, 96, 8, 192, 3, 2}, {"192 3x3", 6, 1, 192, 4, 192, 3, 1},
    {"qkv 192>576", 1, 1, 192, 4, 576, 1, 1},        {"out 192", 1, 1, 192, 4, 192, 1, 1},
    {"grow 192>384", 1, 1, 192, 4, 384, 1, 1},       {"skip 192>96", 1, 1, 192, 8, 96, 1, 1},
    {"grow 96>192", 1, 1, 96, 8, 192, 1, 1},         {"skip 96>48", 1, 1, 96, 16, 48, 1, 1},
    {"out 48>12 3x3", 1, 1, 48, 16, 12, 3, 1},       {"SD 320 64x64 3x3", 0, 1, 320, 64, 320, 3, 1},
    {"SD 1280 8x8 3x3", 0, 1, 1280, 8, 1280, 3, 1},  {"64 64x64 3x3", 0, 1, 64, 64, 64, 3, 1},
};

struct Matrix {
  const char* name;
  std::int64_t M, K, N;
};
constexpr Matrix kMatrices[] = {
    {"192x96 (film, 1 row)", 1, 192, 96}, {"film, 4 rows", 4, 192, 384},
    {"256x320x320", 256, 320, 320},       {"512^3", 512, 512, 512},
    {"1024x1280x1280", 1024, 1280, 1280}, {"77x768x3072", 77, 768, 3072},
};

// Threads that start together and wait for each other, by spinning.
class Team {
 public:
  explicit Team(int threads) : threads_(threads) {
    for (int t = 1; t < threads; ++t) {
      workers_.emplace_back([this, t] {
        for (int seen = 0;;) {
          while (round_.load(std::memory_order_acquire) == seen) std::this_thread::yield();
          ++seen;
          if (kernel_ == nullptr) return;
          work(t);
        }
      });
    }
  }
  ~Team() {
    kernel_ = nullptr;
    round_.fetch_add(1, std::memory_order_release);
    for (std::thread& worker : workers_) worker.join();
  }
  void run(Kernel& kernel) {
    kernel_ = &kernel;
    round_.fetch_add(1, std::memory_order_release);
    work(0);
  }

 private:
  // Passes are counted for good, so that a thread that is late never sees a count go back.
  void work(int thread) {
    Kernel& kernel = *kernel_;
    for (int phase = 0; phase < kernel.phases(); ++phase) {
      kernel.run({}, phase, thread, threads_);
      const int target = (arrived_.fetch_add(1, std::memory_order_acq_rel) / threads_ + 1) * threads_;
      while (arrived_.load(std::memory_order_acquire) < target) std::this_thread::yield();
    }
  }

  int threads_;
  Kernel* kernel_ = nullptr;
  std::atomic<int> round_ = 0, arrived_ = 0;
  std::vector<std::thread> workers_;
};

struct Time {
  double least, median;
};

// Time of the caller's thread if it works alone, else of the clock: other processes then count too.
Time measure(int threads, const std::function<void()>& function) {
  const auto microseconds = [](clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
  };
  const clockid_t clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  std::vector<double> times;
  for (const double end = microseconds(CLOCK_MONOTONIC) + 250e3;
       times.size() < 3 || microseconds(CLOCK_MONOTONIC) < end;) {
    const double begin = microseconds(clock);
    function();
    times.push_back(microseconds(clock) - begin);
  }
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

// Multiply-adds of the largest tile over data in the first cache, GFLOP/s of one core.
double peak(const Gemm& gemm) {
  const std::int64_t depth = 128;
  std::vector<float> a(static_cast<std::size_t>(depth), 1), b(static_cast<std::size_t>(depth * 48 + 64), 1),
      c(8 * 48 + 64);
  const std::vector<const float*> rows(8, a.data());
  const Tile tile{rows.data(), 8, 1, depth, 0, 1, b.data(), b.data(), 0, c.data(), gemm.vectors * gemm.lanes, false};
  const Time time = measure(1, [&] {
    for (int i = 0; i < 100; ++i) gemm.product(tile, gemm.widest_rows, gemm.vectors);
  });
  return 100.0 * 2e-3 * static_cast<double>(depth * gemm.widest_rows * gemm.vectors * gemm.lanes) / time.least;
}

class Block {
 public:
  Operand view(std::vector<std::int64_t> shape, std::vector<std::int64_t> strides, bool constant) {
    Value& value = *values_.emplace_back(std::make_unique<Value>());
    std::int64_t size = 1;
    for (const std::int64_t extent : shape) size *= extent;
    value.shape = std::move(shape), value.strides = std::move(strides), value.buffer = constant ? -1 : 0;
    std::vector<float>& floats = blocks_.emplace_back(static_cast<std::size_t>(size));
    std::mt19937 random(3);
    for (float& x : floats) x = static_cast<float>(static_cast<int>(random() % 2001) - 1000) * 1e-3f;
    return {reinterpret_cast<std::byte*>(floats.data()), &value};
  }

 private:
  std::vector<std::unique_ptr<Value>> values_;
  std::vector<std::vector<float>> blocks_;
};

std::vector<std::int64_t> channels_last(std::int64_t C, std::int64_t S) { return {C * S * S, 1, C * S, C}; }

void report(const char* name, const Kernel& kernel, double flop, int threads, double core, const Time& time) {
  std::printf("%-22s %-16s %10.1f %10.1f us %8.1f GFLOP/s %6.1f %%\n", name, kernel.choice().c_str(), time.least,
              time.median, flop * 1e-3 / time.least, 100 * flop * 1e-3 / time.least / core / threads);
  std::fflush(stdout);
}

std::unique_ptr<Kernel> convolution(const Shape& s, Op& op, Block& block, int threads) {
  using List = std::vector<std::int64_t>;
  const std::int64_t pad = s.kernel / 2, side = s.side / s.stride;
  op.attributes = {
      {"stride", List{s.stride, s.stride}}, {"padding", List{pad, pad, pad, pad}}, {"dilation", List{1, 1}},
      {"groups", std::int64_t{1}},          {"activation", std::string()},         {"scale", 1.0},
      {"upsample", std::int64_t{1}}};
  const Operand x = block.view({s.batch, s.channels, s.side, s.side}, channels_last(s.channels, s.side), false);
  const List strides{s.channels * s.kernel * s.kernel, s.kernel * s.kernel, s.kernel, 1};
  const Operand weight = block.view({s.outputs, s.channels, s.kernel, s.kernel}, strides, true);
  const Operand bias = block.view({s.outputs}, {1}, true);
  const Operand y = block.view({s.batch, s.outputs, side, side}, channels_last(s.outputs, side), false);
  return make_conv2d({op, {x, weight, bias, {}, {}}, {y}, best_isa(), threads});
}

double flop_of(const Shape& s) {
  const std::int64_t side = s.side / s.stride;
  return 2.0 * static_cast<double>(s.batch * side * side * s.outputs * s.channels * s.kernel * s.kernel);
}

void conv2d(int threads, double core, const std::string& name) {
  Team team(threads);
  for (const Shape& s : kConvs) {
    if (std::string(s.name).find(name) == std::string::npos) continue;
    Block block;
    Op op;
    const auto kernel = convolution(s, op, block, threads);
    report(s.name, *kernel, flop_of(s), threads, core, measure(threads, [&] { team.run(*kernel); }));
  }
}

// One forward pass: every convolution has its own weights, which come from wherever they were left.
void model(int threads, double core) {
  Team team(threads);
  Block block;
  Op op;
  std::vector<std::unique_ptr<Kernel>> kernels;
  double flop = 0;
  for (const Shape& s : kConvs) {
    for (int call = 0; call < s.calls; ++call) {
      kernels.push_back(convolution(s, op, block, threads));
      flop += flop_of(s);
    }
  }
  const Time time = measure(threads, [&] {
    for (const auto& kernel : kernels) team.run(*kernel);
  });
  std::size_t bytes = 0;
  for (const auto& kernel : kernels) bytes += kernel->scratch();
  std::printf("packed weights and scratch: %.1f MB\n", static_cast<double>(bytes) * 1e-6);
  report("forward pass", *kernels.front(), flop, threads, core, time);
}

void matmul(int threads, double core, const std::string& name, const Blas* blas) {
  Team team(threads);
  for (const Matrix& m : kMatrices) {
    if (std::string(m.name).find(name) == std::string::npos) continue;
    Block block;
    Op op{.kind = "matmul", .name = "", .inputs = {}, .outputs = {}, .attributes = {}, .launches = {}};
    op.attributes = {{"activation", std::string()}, {"scale", 1.0}, {"glu", std::string()}};
    const Operand a = block.view({m.M, m.K}, {m.K, 1}, false), b = block.view({m.K, m.N}, {m.N, 1}, true);
    const Operand y = block.view({m.M, m.N}, {m.N, 1}, false);
    const double flop = 2.0 * static_cast<double>(m.M * m.N * m.K);
    const auto kernel = make_matmul({op, {a, b, {}, {}, {}}, {y}, best_isa(), threads});
    report(m.name, *kernel, flop, threads, core, measure(threads, [&] { team.run(*kernel); }));
    if (blas == nullptr || threads > 1) continue;
    const Time theirs = measure(threads, [&] {
      blas->product(static_cast<int>(m.M), static_cast<int>(m.N), static_cast<int>(m.K), a.at<float>({}),
                    b.at<float>({}), y.at<float>({}));
    });
    std::printf("%-22s %-16s %10.1f %10.1f us %8.1f GFLOP/s\n", "", "OpenBLAS", theirs.least, theirs.median,
                flop * 1e-3 / theirs.least);
  }
}

}  // namespace
}  // namespace fewstep::cpu

int main(int argc, char** argv) {
  using namespace fewstep::cpu;
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const std::unique_ptr<Blas> blas = argc > 3 ? std::make_unique<Blas>(argv[3]) : nullptr;
  const double core = peak(gemm_of(best_isa()));
  std::printf("%s, %d threads, a core does %.1f GFLOP/s\n", name_of(best_isa()), threads, core);
  const std::string name = argc > 2 ? argv[2] : "";
  model(threads, core);
  conv2d(threads, core, name);
  matmul(threads, core, name, blas.get());
}

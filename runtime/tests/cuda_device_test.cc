#include <array>
#include <new>

#include "check.h"
#include "cuda_check.h"
#include "cuda_plan.h"

namespace {

const Numbers kX{1, -2, 3, 5}, kY{0.5f, 4, -1, 2}, kZ{7, 7, -3, 0};
long allocations = 0;

void test_results() {
  for (const bool graph : {true, false}) {
    for (const int minor : {0, 6}) {
      fake_cuda::reset({.major = minor == 0 ? 9 : 8, .minor = minor});
      const Generation made = make_generation();
      {
        const auto device = open(made, graph);
        for (const std::int64_t steps : {1, 2, 2, 1}) {
          CHECK(request(*device, made, steps, kX, kY) == made.expected(steps, kX, kY));
          CHECK(request(*device, made, steps, kZ, kX) == made.expected(steps, kZ, kX));
          CHECK(read_floats(*device, made.twice)[0] == 2 * kZ[0]);
        }
        Generation other = made;
        other.tau = {-1, 3, 0};
        device->write(made.tau_value, bytes_of(other.tau));
        device->prepare();
        for (const std::int64_t steps : {1, 2}) {
          CHECK(request(*device, made, steps, kX, kY) == other.expected(steps, kX, kY));
        }
        CHECK(contains(device->describe(), graph ? "\"captures\": 2" : "\"captures\": 0"));
        CHECK(contains(device->describe(), "\"launches\": {\"1\": 7, \"2\": 10}"));
        CHECK(contains(device->describe(), "\"fallbacks\": 0"));
        CHECK(contains(device->describe(), minor == 0 ? "\"launches_for\": 90" : "\"launches_for\": 80"));
        CHECK(contains(device->describe(), "\"name\": \"Fake \\\"GPU\\\"\""));
      }
      check_clean();
    }
  }
}

// On a device that no cubin is for the driver compiles the plan's PTX, and the device says so; a cubin comes first.
void test_ptx() {
  for (const int major : {8, 9, 10, 12}) {
    fake_cuda::reset({.major = major});
    const Generation made = make_generation({90}, 80);
    {
      const auto device = open(made);
      CHECK(request(*device, made, 2, kX, kY) == made.expected(2, kX, kY));
      CHECK(contains(device->describe(), major == 9 ? "\"launches_for\": 90" : "\"launches_for\": 80"));
      CHECK(contains(device->describe(), major == 9 ? "\"compiled_by_driver\": 0" : "\"compiled_by_driver\": 2"));
      CHECK(contains(device->describe(), "\"modules\": 2"));
    }
    check_clean();
  }
  // The same architecture as a cubin and as PTX.
  fake_cuda::reset({.major = 8, .minor = 6});
  CHECK(contains(open(make_generation({80}, 80))->describe(), "\"compiled_by_driver\": 0"));
  check_clean();
}

// A request: one copy there, one launch, one copy back, one wait; nothing is allocated on either side.
void test_steady_state() {
  fake_cuda::reset();
  const Generation made = make_generation();
  {
    const auto device = open(made);
    request(*device, made, 2, kX, kY);
    const std::size_t held = fake_cuda::device_bytes();
    Numbers out(kCount);
    fake_cuda::inject(0, 0);
    request(*device, made, 2, kX, kY);  // its counters are made here
    const long calls = fake_cuda::calls();
    const long before = allocations;
    device->write(made.x, bytes_of(kZ));
    device->write(made.y, bytes_of(kX));
    device->run(2, 0);
    device->read(made.out, std::as_writable_bytes(std::span(out)));
    CHECK(allocations == before);
    CHECK(out == made.expected(2, kZ, kX));
    CHECK(fake_cuda::calls() == 2 * calls && calls == 6);
    CHECK(fake_cuda::count("cuGraphLaunch") == 2 && fake_cuda::count("cuLaunchKernelEx") == 0);
    CHECK(fake_cuda::count("cuMemcpyHtoDAsync") == 2 && fake_cuda::count("cuMemcpyDtoHAsync") == 2);
    CHECK(fake_cuda::count("cuStreamSynchronize") == 2);
    CHECK(fake_cuda::device_bytes() == held);
    CHECK(held == static_cast<std::size_t>(made.plan->arena) + 256);  // its weights, aligned
  }
  check_clean();
}

// Weights get other values where they lie: graphs that were captured before see them, and nothing is captured anew.
void test_weights_are_replaced() {
  for (const bool graph : {true, false}) {
    fake_cuda::reset();
    const Generation made = make_generation();
    Generation other = made;
    other.weight = {-5, 0.5f, 8, 1};
    {
      const auto device = open(made, graph);
      CHECK(request(*device, made, 2, kX, kY) == made.expected(2, kX, kY));
      const std::size_t held = fake_cuda::device_bytes();
      for (const Generation* now : {static_cast<const Generation*>(&other), &made}) {
        const long copies = fake_cuda::count("cuMemcpyHtoDAsync");
        const fewstep::Replacement replacement{made.weight_index, bytes_of(now->weight)};
        device->replace({&replacement, 1});
        CHECK(fake_cuda::count("cuMemcpyHtoDAsync") == copies + 1);
        device->prepare();
        CHECK(fake_cuda::device_bytes() == held);
        for (const std::int64_t steps : {1, 2}) {
          CHECK(request(*device, made, steps, kX, kY) == now->expected(steps, kX, kY));
        }
      }
      CHECK(contains(device->describe(), graph ? "\"captures\": 2" : "\"captures\": 0"));
      device->replace({});
    }
    check_clean();
  }
}

// What each kernel is handed, by the cubin's own offsets.
void test_packing() {
  fake_cuda::reset();
  const Generation made = make_generation();
  {
    const auto device = open(made, false);
    request(*device, made, 2, kX, kY);
    int step = 0;
    for (const fake_cuda::LaunchRecord& launch : fake_cuda::launches()) {
      CHECK(launch.grid[0] == 1 && launch.grid[1] == 1 && launch.grid[2] == 1 && launch.cluster == 1);
      CHECK(!launch.captured);
      if (launch.entry != "step_kernel") continue;
      CHECK(launch.threads == 64 && launch.params.size() == 56);
      const auto word = [&](std::size_t offset) {
        std::int32_t found;
        std::memcpy(&found, launch.params.data() + offset, sizeof found);
        return found;
      };
      float factor;
      std::memcpy(&factor, launch.params.data() + 32, sizeof factor);
      CHECK(word(16) == 0 && word(20) == 0 && word(24) == static_cast<int>(kCount) && word(28) == step++);
      CHECK(factor == 0.5f && launch.params[36] == std::byte{1});
      for (std::size_t k = 40; k < 56; ++k) CHECK(launch.params[k] == std::byte{0});
    }
    CHECK(step == 2);
  }
  check_clean();
}

template <typename F>
std::string refused(F&& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

void test_what_a_caller_does_wrong() {
  fake_cuda::reset();
  const Generation made = make_generation();
  {
    const auto early = fewstep::make_cuda_device(made.plan, {.driver = FAKE_CUDA});
    CHECK(contains(refused([&] { early->run(1, 0); }), "prepare"));
    const auto device = open(made);
    CHECK(contains(refused([&] { device->write(made.x, bytes_of(Numbers(3))); }), "expected 16 bytes, got 12"));
    CHECK(contains(refused([&] { device->write(made.out, bytes_of(kX)); }), "expected one of the inputs"));
    CHECK(contains(refused([&] { read_floats(*device, made.x); }), "expected one of the outputs"));
    CHECK(contains(refused([&] { device->run(3, 0); }), "steps: expected 1, 2, got 3"));
    CHECK(request(*device, made, 2, kX, kY) == made.expected(2, kX, kY));
  }
  check_clean();
}

// Two devices share the context; one goes, the other works on.
void test_two_devices() {
  fake_cuda::reset();
  const Generation made = make_generation();
  {
    const auto first = open(made);
    {
      const auto second = open(made);
      CHECK(request(*second, made, 2, kX, kY) == made.expected(2, kX, kY));
    }
    CHECK(request(*first, made, 2, kX, kY) == made.expected(2, kX, kY));
  }
  check_clean();
}

// Memory of a device that is closed is free at once; where it is of a pool it goes in the stream's order.
void test_memory() {
  for (const bool pools : {true, false}) {
    fake_cuda::reset({.pools = pools});
    const Generation made = make_generation();
    {
      const auto first = open(made);
      const std::size_t held = fake_cuda::device_bytes();
      CHECK(contains(open(made)->describe(), pools ? "\"memory_pool\": true" : "\"memory_pool\": false"));
      CHECK(fake_cuda::device_bytes() == held);
      CHECK(fake_cuda::count("cuMemFreeAsync") == (pools ? 2 : 0));
      CHECK(fake_cuda::count("cuMemFree") == (pools ? 0 : 2));
      CHECK(request(*first, made, 2, kX, kY) == made.expected(2, kX, kY));
    }
    check_clean();
  }
}

// A tensor map of half the rows of a block, on shared memory that has to be asked for; and as a cluster of two.
void test_tensor_maps() {
  for (const bool cluster : {false, true}) {
    fake_cuda::reset();
    PlanBuilder build({90});
    fewstep::Plan& plan = build.plan();
    const std::int32_t block = build.buffer(256 * 128 * 2), y = build.floats(1);
    const std::int32_t all =
        build.value({.dtype = fewstep::Dtype::f16, .shape = {256, 128}, .strides = {128, 1}, .buffer = block});
    const std::int32_t half = build.value(
        {.dtype = fewstep::Dtype::f16, .shape = {128, 128}, .strides = {128, 1}, .offset = 128 * 128, .buffer = block});
    fewstep::Param map = PlanBuilder::param("tensormap", half);
    map.tensormap = {.elem_type = 6,
                     .elem_size = 2,
                     .swizzle = 3,
                     .shape = {128, 128},
                     .strides = {128, 1},
                     .box = {256, 64},
                     .nan_padding = true};
    fewstep::Launch launch{
        .image = build.image(cluster ? "cluster.90.cubin" : "sum.90.cubin"),
        .entry = "sum_kernel",
        .architecture = 90,
        .threads = 128,
        .shared = cluster ? 32776 : 65544,
        .cluster = cluster ? 2 : 1,
        .grid = {3, 2, 1},
        .params = {map, PlanBuilder::whole("i32", 128), PlanBuilder::whole("i32", 128), PlanBuilder::whole("i64", 128),
                   PlanBuilder::whole("i64", 1), PlanBuilder::ptr(y), PlanBuilder::ptr(-1), PlanBuilder::ptr(-1)}};
    fewstep::Op sum;
    sum.kind = sum.name = "reduce";
    sum.launches = {launch};
    plan.stages = {{"network", 0, {sum}}};
    plan.inputs = {{"x", all}};
    plan.outputs = {{"y", y}};
    std::vector<std::uint16_t> x(256 * 128);
    float expected = 0;
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint16_t>(i % 7);
    for (std::size_t i = x.size() / 2; i < x.size(); ++i) expected += static_cast<float>(x[i]);
    {
      const auto device = fewstep::make_cuda_device(std::make_shared<const fewstep::Plan>(plan),
                                                    {.index = 0, .driver = FAKE_CUDA, .graph = true});
      device->write(all, std::as_bytes(std::span(x)));
      device->run(1, 0);
      CHECK(read_floats(*device, y, 1)[0] == expected);
      const fake_cuda::LaunchRecord& made = fake_cuda::launches().back();
      CHECK(made.captured && made.cluster == (cluster ? 2 : 1) && made.grid[0] == (cluster ? 6 : 3));
      CHECK(made.grid[1] == 2 && made.shared == static_cast<unsigned>(launch.shared));
      std::array<std::uint64_t, 16> words;
      std::memcpy(words.data(), made.params.data() + 48, sizeof words);  // where the cubin has it
      CHECK(words[1] == (2 | 6 << 8 | 3 << 16 | 1 << 24));
      CHECK(words[2] == (128 | std::uint64_t{64} << 40) && words[3] == (128 | std::uint64_t{256} << 40));
      CHECK(words[7] == 256);
    }
    check_clean();
  }
}

}  // namespace

// Not inlined: GCC takes free for the wrong half of a pair where it sees into only one of them.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* data = std::malloc(size)) return data;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* data) noexcept { std::free(data); }
[[gnu::noinline]] void operator delete(void* data, std::size_t) noexcept { std::free(data); }

int main() {
  test_results();
  test_ptx();
  test_weights_are_replaced();
  test_steady_state();
  test_packing();
  test_what_a_caller_does_wrong();
  test_two_devices();
  test_memory();
  test_tensor_maps();
}

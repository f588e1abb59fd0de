#include <string>

#include "cuda_check.h"
#include "cuda_plan.h"

// Every call of the driver fails once, with each kind of error.
namespace {

using fewstep::DeviceError;
using fewstep::Fault;

const Numbers kX{1, -2, 3, 5}, kY{0.5f, 4, -1, 2};

struct Error {
  int code;
  Fault fault;
};

constexpr Error kErrors[] = {{1, Fault::unavailable}, {2, Fault::out_of_memory}, {209, Fault::unavailable},
                             {214, Fault::fatal},     {700, Fault::fatal},       {719, Fault::fatal},
                             {901, Fault::capture},   {999, Fault::fatal}};

// cuBLASLt does not say that a capture was refused.
Fault expected_of(const Error& error) {
  const bool is_library = fake_cuda::injected().starts_with("cublasLt");
  return is_library && error.fault == Fault::capture ? Fault::unavailable : error.fault;
}

// Runs a call; whether it went well. What it throws is of the error's class.
template <typename F>
bool succeeds(const Error& error, F&& call) {
  try {
    call();
    return true;
  } catch (const DeviceError& thrown) {
    if (thrown.fault() != expected_of(error))
      std::fprintf(stderr, "%d: another class: %s\n", error.code, thrown.what());
    CHECK(thrown.fault() == expected_of(error));
    return false;
  }
}

// The same error at once, and not a call of the driver.
void check_dead(fewstep::Device& device, const Generation& made) {
  const long calls = fake_cuda::calls();
  Numbers out(kCount);
  const std::string first = fault_of(Fault::fatal, [&] { device.run(1, 0); });
  CHECK(contains(first, "start a new process"));
  CHECK(fault_of(Fault::fatal, [&] { device.prepare(); }) == first);
  CHECK(fault_of(Fault::fatal, [&] { device.write(made.x, bytes_of(kX)); }) == first);
  CHECK(fault_of(Fault::fatal, [&] { device.read(made.out, std::as_writable_bytes(std::span(out))); }) == first);
  CHECK(contains(device.describe(), "\"device\": \"cuda\""));
  CHECK(fake_cuda::calls() == calls);
}

// After an error a device works, or is dead: nothing in between.
template <typename F>
bool holds(fewstep::Device& device, const Generation& made, const Error& error, int& failures, F&& call) {
  if (succeeds(error, call)) return true;
  CHECK(++failures == 1);
  if (error.fault == Fault::fatal) {
    check_dead(device, made);
    return false;
  }
  CHECK(succeeds(error, call));
  return true;
}

void use(fewstep::Device& device, const Generation& made, const Error& error, int& failures) {
  const auto prepare = [&] {
    device.write(made.tau_value, bytes_of(made.tau));
    device.prepare();
  };
  if (!holds(device, made, error, failures, prepare)) return;
  for (const std::int64_t steps : {2, 1, 2}) {
    const auto run = [&] { CHECK(request(device, made, steps, kX, kY) == made.expected(steps, kX, kY)); };
    if (!holds(device, made, error, failures, run)) return;
  }
  const bool capture_failed = contains(device.describe(), "\"failed_captures\": 1");
  CHECK(capture_failed || contains(device.describe(), "\"failed_captures\": 0"));
  // A capture that failed is made up for, so every request was a graph's.
  CHECK(contains(device.describe(), "\"captures\": 2") && contains(device.describe(), "\"fallbacks\": 0"));
  CHECK(contains(device.describe(), "\"message\": \"\"") == !capture_failed);
}

// Whether a failure of this function may go unnoticed: it gives something back, or makes ready to.
bool is_giving_back(const std::string& function) {
  return contains(function, "Free") || contains(function, "Destroy") || contains(function, "Release") ||
         contains(function, "Unload") || contains(function, "CtxP");
}

struct Way {
  bool graph;
  fake_cuda::Settings settings;
  const Generation& made;
};

bool walk_to(const Generation& made, const Error& error, long call, const Way& way) {
  const bool graph = way.graph;
  fake_cuda::reset(way.settings);
  fake_cuda::inject(call, error.code);
  int failures = 0;
  bool absorbed = false, destroying = false;
  {
    std::unique_ptr<fewstep::Device> device;
    const fewstep::CudaOptions options{.index = 0, .driver = FAKE_CUDA, .blaslt = FAKE_CUDA, .graph = graph};
    if (!succeeds(error, [&] { device = fewstep::make_cuda_device(made.plan, options); })) ++failures;
    if (device != nullptr && graph) {
      use(*device, made, error, failures);
      absorbed = contains(device->describe(), "\"failed_captures\": 1");
    } else if (device != nullptr) {
      const auto run = [&] {
        device->write(made.tau_value, bytes_of(made.tau));
        device->prepare();
        CHECK(request(*device, made, 2, kX, kY) == made.expected(2, kX, kY));
      };
      holds(*device, made, error, failures, run);
    }
    destroying = fake_cuda::injected().empty();
  }
  const std::string& function = fake_cuda::injected();
  if (function.empty()) return false;
  const bool noticed = failures == 1 || absorbed || destroying || is_giving_back(function);
  if (!noticed) std::fprintf(stderr, "error %d of %s, call %ld, went unnoticed\n", error.code, function.c_str(), call);
  CHECK(noticed);
  // Where the context cannot even be made current to give a thing back, the thing goes with the context.
  if (!(destroying && function == "cuCtxPushCurrent")) check_clean();
  CHECK(fake_cuda::live() == 0);
  return true;
}

// A capture that never succeeds: the launches are made one by one, and counted.
void test_fallback() {
  const Generation made = make_generation();
  fake_cuda::reset();
  {
    fake_cuda::refuse("cuGraphInstantiate", 901);
    const auto device = open(made);
    for (int i = 0; i < 5; ++i) CHECK(request(*device, made, 2, kX, kY) == made.expected(2, kX, kY));
    const std::string text = device->describe();
    CHECK(contains(text, "\"captures\": 0") && contains(text, "\"graph_launches\": 0"));
    CHECK(contains(text, "\"fallbacks\": 5") && contains(text, "\"failed_captures\": 4"));
    CHECK(contains(text, "cuGraphInstantiate") && contains(text, "(901)"));
    fake_cuda::refuse("", 0);
    CHECK(request(*device, made, 1, kX, kY) == made.expected(1, kX, kY));
    CHECK(contains(device->describe(), "\"captures\": 1"));
  }
  check_clean();
}

}  // namespace

int main() {
  const Generation plain = make_generation({80, 90}, 80), library = make_generation({80, 90}, 0, true);
  // As one graph with images of its own; launch by launch with memory of no pool; with PTX; with cuBLASLt, both ways.
  const Way ways[] = {{true, {}, plain},
                      {false, {.pools = false}, plain},
                      {false, {.major = 10}, plain},
                      {true, {}, library},
                      {false, {}, library}};
  for (const Way& way : ways) {
    for (const Error& error : kErrors) {
      long call = 1;
      while (walk_to(way.made, error, call, way)) ++call;
      CHECK(call > 60);
      std::printf("error %d: %ld calls\n", error.code, call - 1);
    }
  }
  test_fallback();
}

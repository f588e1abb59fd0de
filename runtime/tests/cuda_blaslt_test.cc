#include <cmath>
#include <string>

#include "cuda/blaslt.h"
#include "cuda_check.h"
#include "cuda_plan.h"

// Products by cuBLASLt, as the stand-in carries them out, and what is said where it is not there.
namespace {

using fewstep::Fault;
using fewstep::Value;

const Numbers kX{1, -2, 3, 5}, kY{0.5f, 4, -1, 2};

// Views of floats in a buffer of their own, from `offset` on; y has what `columns` makes of rows.
struct Case {
  const char* name;
  Value a, b, y;
  bool has_bias = false;
  std::string activation = "";
  double scale = 1;
  std::size_t work = 0;
};

Value view(std::vector<std::int64_t> shape, std::vector<std::int64_t> strides, std::int64_t offset = 0) {
  return {.shape = std::move(shape), .strides = std::move(strides), .offset = offset};
}

std::size_t at(const Value& value, std::int64_t t, std::int64_t i, std::int64_t j) {
  const std::size_t rank = value.shape.size();
  const std::int64_t outer = rank == 3 ? t * value.strides[0] : 0;
  return static_cast<std::size_t>(outer + i * value.strides[rank - 2] + j * value.strides[rank - 1]);
}

// The result for the test, in float64.
double activated(const Case& test, double sum) {
  if (test.activation.empty()) return sum;
  return 0.5 * sum * (1 + std::tanh(std::sqrt(2 / 3.14159265358979) * (sum + 0.044715 * sum * sum * sum)));
}

bool are_close(const Numbers& found, const Numbers& expected) {
  bool out = found.size() == expected.size();
  for (std::size_t k = 0; out && k < found.size(); ++k) out = std::abs(found[k] - expected[k]) < 1e-5;
  return out;
}

std::size_t span(const Value& value) {
  std::int64_t last = 0;
  for (std::size_t axis = 0; axis < value.shape.size(); ++axis) last += (value.shape[axis] - 1) * value.strides[axis];
  return static_cast<std::size_t>(last) + 1;
}

const Case kCases[] = {
    {"rows", view({3, 4}, {4, 1}), view({4, 5}, {5, 1}), view({3, 5}, {5, 1})},
    {"columns of b", view({3, 4}, {4, 1}), view({4, 5}, {1, 4}), view({3, 5}, {5, 1}), true},
    {"columns of a", view({3, 4}, {1, 3}), view({4, 5}, {5, 1}), view({3, 5}, {5, 1}), true, "gelu_tanh", 0.5, 4096},
    {"gaps", view({3, 4}, {7, 1}, 2), view({4, 5}, {1, 6}, 3), view({3, 5}, {9, 1}, 4), true},
    {"one row", view({1, 4}, {4, 1}), view({4, 5}, {1, 4}), view({1, 5}, {5, 1}), false, "gelu_tanh"},
    {"shared b", view({2, 3, 4}, {12, 4, 1}), view({2, 4, 5}, {0, 1, 4}), view({2, 3, 5}, {15, 5, 1}), true},
    {"shared b apart", view({2, 3, 4}, {20, 4, 1}), view({2, 4, 5}, {0, 5, 1}), view({2, 3, 5}, {15, 5, 1})},
    {"batch of rows", view({2, 3, 4}, {12, 4, 1}), view({2, 4, 5}, {20, 5, 1}), view({2, 3, 5}, {15, 5, 1})},
    {"batch", view({2, 3, 4}, {12, 1, 3}), view({2, 4, 5}, {20, 5, 1}), view({2, 3, 5}, {30, 5, 1}), true},
};

void test_results() {
  for (const Case& test : kCases) {
    fake_cuda::reset();
    PlanBuilder build({90});
    fewstep::Plan& plan = build.plan();
    const auto given = [&](const Value& like) {  // and the same elements as the caller writes them
      const std::int64_t count = static_cast<std::int64_t>(span(like)) + like.offset;
      const std::int32_t all = build.floats(count);
      Value value = like;
      value.buffer = plan.values[static_cast<std::size_t>(all)].buffer;
      return std::pair(build.value(value), all);
    };
    const auto [a, all_a] = given(test.a);
    const auto [b, all_b] = given(test.b);
    const auto [y, all_y] = given(test.y);
    const Numbers add{1, -20, 3, 0, 5};
    const std::int32_t bias = test.has_bias ? build.weight(add) : -1;
    std::int32_t workspace = -1;
    if (test.work > 0) {
      const auto bytes = static_cast<std::int64_t>(test.work);
      workspace =
          build.value({.dtype = fewstep::Dtype::u8, .shape = {bytes}, .strides = {1}, .buffer = build.buffer(bytes)});
    }
    plan.stages = {{"network", 0, {build.product({a, b, bias, y, workspace, test.scale, test.activation})}}};
    plan.inputs = {{"a", all_a}, {"b", all_b}};
    plan.outputs = {{"y", y}};
    const auto numbers = [&](std::int32_t all, float factor) {
      Numbers out(static_cast<std::size_t>(plan.values[static_cast<std::size_t>(all)].shape[0]));
      for (std::size_t k = 0; k < out.size(); ++k) out[k] = factor * static_cast<float>(static_cast<int>(k % 11) - 5);
      return out;
    };
    const Numbers x = numbers(all_a, 1), w = numbers(all_b, 0.25f);
    Numbers expected;
    const bool has_batch = test.y.shape.size() == 3;
    for (std::int64_t t = 0; t < (has_batch ? 2 : 1); ++t) {
      for (std::int64_t i = 0; i < test.y.shape[has_batch ? 1 : 0]; ++i) {
        for (std::int64_t j = 0; j < 5; ++j) {
          float sum = 0;
          for (std::int64_t k = 0; k < 4; ++k) {
            sum += x[at(test.a, t, i, k) + static_cast<std::size_t>(test.a.offset)] *
                   w[at(test.b, t, k, j) + static_cast<std::size_t>(test.b.offset)];
          }
          sum = sum * static_cast<float>(test.scale) + (test.has_bias ? add[static_cast<std::size_t>(j)] : 0);
          expected.push_back(static_cast<float>(activated(test, sum)));
        }
      }
    }
    {
      const auto device = fewstep::make_cuda_device(std::make_shared<const fewstep::Plan>(plan),
                                                    {.driver = FAKE_CUDA, .blaslt = FAKE_CUDA});
      device->write(all_a, bytes_of(x));
      device->write(all_b, bytes_of(w));
      device->run(1, 0);
      const Numbers found = read_floats(*device, y, expected.size());
      if (!are_close(found, expected)) std::fprintf(stderr, "%s: another result\n", test.name);
      CHECK(are_close(found, expected));
      CHECK(contains(device->describe(), "\"library_products\": 1") && contains(device->describe(), "\"captures\": 1"));
    }
    check_clean();
  }
}

// In a generation: a request is one graph, and asks the library for nothing.
void test_a_generation() {
  for (const bool graph : {true, false}) {
    fake_cuda::reset();
    const Generation made = make_generation({90}, 0, true);
    {
      const auto device = open(made, graph);
      CHECK(contains(device->describe(), "\"library_products\": 3"));
      for (const std::int64_t steps : {1, 2}) {
        CHECK(request(*device, made, steps, kX, kY) == made.expected(steps, kX, kY));
      }
      fake_cuda::inject(0, 0);
      CHECK(request(*device, made, 2, kY, kX) == made.expected(2, kY, kX));
      CHECK(fake_cuda::count("cublasLtMatmul") == (graph ? 0 : 4));
      CHECK(fake_cuda::count("cublasLtMatmulAlgoGetHeuristic") == 0);
    }
    check_clean();
  }
  fake_cuda::reset();  // who does not ask for the library does not need it
  const Generation plain = make_generation();
  CHECK(fewstep::make_cuda_device(plain.plan, {.driver = FAKE_CUDA, .blaslt = "libcublasLt-of-nobody.so"}) != nullptr);
}

// What is promised of a matrix's address holds wherever it moves: here by 16 bytes, beside 64.
void test_a_matrix_that_moves() {
  for (const bool by_row : {true, false}) {
    fake_cuda::reset();
    PlanBuilder build({90});
    fewstep::Plan& plan = build.plan();
    const std::int32_t all = build.floats(12), factor = build.weight({2}), y = build.floats(4);
    const auto matrix = [&](std::int32_t of, std::int64_t rows) {
      Value value = plan.values[static_cast<std::size_t>(of)];
      value.shape = {rows, 1};
      value.strides = {1, 1};
      return value;
    };
    Value moving = matrix(all, 4);
    (by_row ? moving.row : moving.step) = 4;
    const std::int32_t a = build.value(moving), b = build.value(matrix(factor, 1)), out = build.value(matrix(y, 4));
    plan.stages = {{"step", 0, {build.product({.a = a, .b = b, .y = out})}}};
    plan.inputs = {{"a", all}};
    plan.outputs = {{"y", y}};
    plan.schedule = fewstep::ScheduleTable{.counts = {{2, 1}}, .rows = 3, .tau = {}, .coefficients = {}, .scales = {}};
    {
      const auto device = fewstep::make_cuda_device(std::make_shared<const fewstep::Plan>(plan),
                                                    {.driver = FAKE_CUDA, .blaslt = FAKE_CUDA});
      device->write(all, bytes_of({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
      device->run(2, 0);
      CHECK(read_floats(*device, y) == (by_row ? Numbers{16, 18, 20, 22} : Numbers{8, 10, 12, 14}));
    }
    check_clean();
  }
}

// error: of the driver, that the library's search for an algorithm comes upon.
std::string refusal(const std::string& blaslt, const fake_cuda::Settings& settings = {}, int error = 0,
                    Fault fault = Fault::unavailable) {
  const Generation made = make_generation({90}, 0, true);
  fake_cuda::reset(settings);
  if (error != 0) fake_cuda::refuse("cublasLtMatmulAlgoGetHeuristic", error);
  const std::string said =
      fault_of(fault, [&] { fewstep::make_cuda_device(made.plan, {.driver = FAKE_CUDA, .blaslt = blaslt}); });
  check_clean();
  return said;
}

void test_refusals() {
  for (const std::string& said : {refusal("libcublasLt-of-nobody.so"), refusal("libm.so.6")}) {
    CHECK(contains(said, "pip install nvidia-cublas-cu12") && contains(said, "--matmul triton"));
  }
  CHECK(contains(refusal("libcublasLt-of-nobody.so"), "no cuBLASLt, which the plan asks for: libcublasLt-of-nobody"));
  CHECK(contains(refusal("libm.so.6"), "got a library without cublasLtGetStatusName"));
  for (const fake_cuda::Settings& none : {fake_cuda::Settings{.algorithms = 0}, {.algorithm_state = 15}}) {
    CHECK(
        refusal(FAKE_CUDA, none) ==
        "cublasLtMatmulAlgoGetHeuristic of matmul: cuBLASLt knows no algorithm: compile the plan with --matmul triton");
  }
  CHECK(refusal(FAKE_CUDA, {}, 1) ==
        "cublasLtMatmulAlgoGetHeuristic of matmul: CUBLAS_STATUS_NOT_SUPPORTED (15): compile the plan with "
        "--matmul triton");
  CHECK(refusal(FAKE_CUDA, {}, 2, Fault::out_of_memory) ==
        "cublasLtMatmulAlgoGetHeuristic of matmul: a status without a name (3)");
}

void test_names() {
  const std::vector<std::string> both{"libcublasLt.so.13", "libcublasLt.so.12"}, old{"libcublasLt.so.12"};
  CHECK(fewstep::cuda::blaslt_names(13000) == both && fewstep::cuda::blaslt_names(13020) == both);
  CHECK(fewstep::cuda::blaslt_names(12090) == old && fewstep::cuda::blaslt_names(12000) == old);
}

}  // namespace

int main() {
  test_results();
  test_a_generation();
  test_a_matrix_that_moves();
  test_refusals();
  test_names();
}

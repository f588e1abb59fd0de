#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "kernel_case.h"

namespace fewstep::cpu {
namespace {

using Code = std::vector<Instruction>;

Instruction line(std::string name, std::vector<std::int32_t> operands) {
  return {std::move(name), 0, std::move(operands)};
}
Instruction constant(double x) { return {"const", x, {}}; }

Op map_of(Code code) {
  Op op{"map", "test", {}, {}, {}, {}};
  op.attributes["code"] = std::move(code);
  return op;
}

double evaluate(const Instruction& i, const Doubles& r) {
  const auto at = [&](std::size_t k) { return r[static_cast<std::size_t>(i.operands[k])]; };
  if (i.name == "const") return i.constant;
  if (i.name == "add") return at(0) + at(1);
  if (i.name == "sub") return at(0) - at(1);
  if (i.name == "mul") return at(0) * at(1);
  if (i.name == "max") return std::max(at(0), at(1));
  if (i.name == "less") return at(0) < at(1);
  if (i.name == "tanh") return std::tanh(at(0));
  if (i.name == "sigmoid") return 1 / (1 + std::exp(-at(0)));
  if (i.name == "silu") return at(0) / (1 + std::exp(-at(0)));
  CHECK(i.name == "where");
  return at(0) != 0 ? at(1) : at(2);
}

// Registers stay small: sums of a few bounded values; the bound grows with each line that a value went through.
Code random_code(Random& random, std::int32_t inputs, std::int64_t lines) {
  const std::array<std::pair<const char*, int>, 9> names{{{"add", 2},
                                                          {"sub", 2},
                                                          {"mul", 2},
                                                          {"max", 2},
                                                          {"tanh", 1},
                                                          {"sigmoid", 1},
                                                          {"silu", 1},
                                                          {"where", 3},
                                                          {"const", 0}}};
  Code code;
  for (std::int32_t r = inputs; r < inputs + lines; ++r) {
    const auto& [name, arity] = names[static_cast<std::size_t>(between(random, 0, 8))];
    Instruction made{name, normal(random), {}};
    for (int k = 0; k < arity; ++k) made.operands.push_back(static_cast<std::int32_t>(between(random, 0, r - 1)));
    code.push_back(std::move(made));
    if (arity == 2) {  // what products and sums make is brought back below 1
      code.push_back(line("tanh", {r}));
      ++r;
    }
  }
  return code;
}

Shape any_shape(Random& random) {
  Shape shape;
  for (std::int64_t axes = between(random, 1, 4); axes > 0; --axes) shape.push_back(between(random, 1, 9));
  if (shape.size() < 3) shape[0] = between(random, 1, 300);
  return shape;
}

void test_random_programs() {
  Random random(1);
  for (int trial = 0; trial < 150; ++trial) {
    const Shape shape = any_shape(random);
    KernelCase test;
    const auto inputs = static_cast<std::int32_t>(between(random, 1, 4));
    for (std::int32_t i = 0; i < inputs; ++i) {
      Tensor x = any_tensor(random, shape);
      if (i > 0 && between(random, 0, 1) > 0) {
        std::vector<std::size_t> order(shape.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::vector<bool> repeated(shape.size());
        for (std::size_t axis = 0; axis < shape.size(); ++axis) repeated[axis] = between(random, 0, 1) > 0;
        x = tensor(shape, order, 1, repeated);
      }
      x.fill([&] { return normal(random); });
      test.inputs.push_back(x);
    }
    test.outputs = {any_tensor(random, shape)};
    if (between(random, 0, 3) == 0) test.in_place = {0};
    const Code code = random_code(random, inputs, between(random, 1, 12));
    test.op = map_of(code);
    std::vector<Doubles> read;
    for (auto& x : test.inputs) read.push_back(x->read());
    test.check(make_map, [&](const std::vector<Doubles>& got) {
      for (std::size_t e = 0; e < got[0].size(); ++e) {
        Doubles registers;
        for (const Doubles& x : read) registers.push_back(x[e]);
        bool is_near_a_jump = false;
        for (const Instruction& i : code) {
          registers.push_back(evaluate(i, registers));
          is_near_a_jump |= i.name == "where" && std::abs(registers[static_cast<std::size_t>(i.operands[0])]) < 1e-5;
        }
        CHECK(is_near_a_jump || near(got[0][e], registers.back(), 1e-5 * (1 + std::abs(registers.back()))));
      }
    });
  }
}

void test_copies_are_exact() {
  Random random(2);
  for (int trial = 0; trial < 80; ++trial) {
    Shape shape = any_shape(random);
    if (trial % 8 == 0) shape = {2, between(random, 15, 50), between(random, 15, 40)};
    if (trial == 1) shape = {40000};
    const auto dtype = std::array{Dtype::f32, Dtype::i64, Dtype::i32, Dtype::u8}[static_cast<std::size_t>(trial % 4)];
    KernelCase test;
    test.op = map_of({});
    test.inputs = {any_tensor(random, shape, dtype)};
    test.outputs = {any_tensor(random, shape, dtype)};
    double next = dtype == Dtype::i64 ? 0x1p52 : 0;
    test.inputs[0]->fill([&] { return dtype == Dtype::u8 ? static_cast<double>(between(random, 0, 255)) : ++next; });
    const Doubles expected = test.inputs[0]->read();
    test.check(make_map, [&](const std::vector<Doubles>& got) { CHECK(got[0] == expected); });
  }
}

void test_conversions() {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const Doubles x{1.9, -1.9, 300, -5, kInf, -kInf, std::nan(""), 0x1p40, -0x1p40, 255.5};
  const std::vector<std::pair<Dtype, Doubles>> expected{
      {Dtype::u8, {1, 0, 255, 0, 255, 0, 0, 255, 0, 255}},
      {Dtype::i32, {1, -1, 300, -5, 2147483647, -2147483648.0, 0, 2147483647, -2147483648.0, 255}},
      {Dtype::i64, {1, -1, 300, -5, 0x1p63, -0x1p63, 0, 0x1p40, -0x1p40, 255}},
  };
  for (const auto& [dtype, values] : expected) {
    KernelCase test;
    test.op = map_of({});
    test.inputs = {tensor({10})};
    test.inputs[0]->fill(x);
    test.outputs = {tensor({10}, dtype)};
    test.check(make_map, [&](const std::vector<Doubles>& got) { CHECK(got[0] == values); });
    KernelCase back;
    back.op = map_of({line("add", {0, 0})});
    back.inputs = {tensor({3}, dtype)};
    back.inputs[0]->fill({1, 2, 200});
    back.outputs = {tensor({3})};
    back.check(make_map, [](const std::vector<Doubles>& got) { CHECK(got[0] == (Doubles{2, 4, 400})); });
  }
}

void test_a_constant_and_an_unused_input() {
  for (const Dtype dtype : {Dtype::f32, Dtype::i32}) {
    KernelCase test;
    test.op = map_of({line("exp", {0}), constant(7)});
    test.inputs = {tensor({700})};  // NaN
    test.outputs = {tensor({700}, dtype)};
    test.check(make_map, [](const std::vector<Doubles>& got) { CHECK(got[0] == Doubles(700, 7.0)); });
  }
}

void test_refusals() {
  KernelCase test;
  test.op = map_of({line("frobnicate", {0})});
  test.inputs = test.outputs = {tensor({3})};
  bool is_refused = false;
  try {
    test.run(make_map, Isa::portable, 1);
  } catch (const std::invalid_argument& error) {
    is_refused = std::string(error.what()).find("frobnicate") != std::string::npos;
  }
  CHECK(is_refused);
}

}  // namespace
}  // namespace fewstep::cpu

int main() {
  fewstep::cpu::test_random_programs();
  fewstep::cpu::test_copies_are_exact();
  fewstep::cpu::test_conversions();
  fewstep::cpu::test_a_constant_and_an_unused_input();
  fewstep::cpu::test_refusals();
}

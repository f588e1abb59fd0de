#include <cmath>

#include "fewstep/noise.h"
#include "kernel_case.h"

namespace fewstep::cpu {
namespace {

const Doubles kSeeds{7, 1e15};

Doubles noise_of(std::int64_t step, std::size_t count) {
  Doubles z;
  for (const double seed : kSeeds) {
    std::vector<float> out(count);
    const auto bits = static_cast<std::uint64_t>(seed);
    fewstep::normal({&bits, 1}, static_cast<std::uint32_t>(step), 0, out);
    z.insert(z.end(), out.begin(), out.end());
  }
  return z;
}

Tensor seeds() {
  Tensor t = tensor({2}, Dtype::i64);
  t.fill(kSeeds);
  return t;
}

void test_initial_state() {
  Random random(1);
  for (const Shape& shape : {Shape{2, 3, 16, 16}, Shape{2, 1, 1, 1}, Shape{2, 5, 7, 31}}) {
    KernelCase test;
    test.op = {"initial_state", "test", {}, {}, {}, {}};
    test.inputs = {seeds(), tensor({2}, {0}, 2)};
    test.inputs[1]->fill({0.7, 1.3});
    test.outputs = {any_tensor(random, shape), any_tensor(random, shape)};
    const Doubles z = noise_of(0, static_cast<std::size_t>(count_of(shape)) / 2);
    test.check(make_initial_state, [&](const std::vector<Doubles>& got) {
      for (std::size_t e = 0; e < z.size(); ++e) {
        const float x = static_cast<float>(z[e]) * 0.7f;
        CHECK(got[0][e] == x);
        CHECK(got[1][e] == x * 1.3f);
      }
    });
  }
}

// The definition, product by product and sum by sum in floats.
struct Step {
  std::vector<float> row;
  std::vector<float> sum_of(std::initializer_list<std::pair<float, float>> terms) const {
    std::vector<float> out;
    for (const auto& [factor, value] : terms) {
      if (factor == 0) continue;
      const float product = factor * value;
      out = {out.empty() ? product : out[0] + product};
    }
    return out.empty() ? std::vector<float>{terms.begin()->first * terms.begin()->second} : out;
  }
};

struct Options {
  bool has_history = false, is_noise_given = false, is_masked = false;
};

void check_step(Random& random, const Shape& shape, std::vector<float> row, const Options& options) {
  const auto [has_history, is_noise_given, is_masked] = options;
  const bool is_guided = row.size() == 11;
  const auto count = static_cast<std::size_t>(count_of(shape));
  KernelCase test;
  test.op = {"sampler_step", "test", {}, {}, {}, {}};
  test.moment = {4, 2};
  test.inputs = {any_tensor(random, shape),
                 any_tensor(random, shape),
                 tensor({static_cast<std::int64_t>(row.size())}),
                 is_noise_given ? any_tensor(random, shape) : seeds(),
                 {},
                 {},
                 {},
                 {}};
  if (is_masked) {
    test.inputs[6] = any_tensor(random, shape);
    test.inputs[7] = any_tensor(random, shape);
  }
  if (is_guided) test.inputs[4] = any_tensor(random, shape);
  if (has_history) test.inputs[5] = any_tensor(random, shape);
  for (auto& t : test.inputs) {
    if (t && t->value.dtype == Dtype::f32) t->fill([&] { return normal(random); });
  }
  test.inputs[2]->fill(Doubles(row.begin(), row.end()));
  test.outputs = {any_tensor(random, shape), any_tensor(random, shape), tensor({2}, Dtype::i32), {}};
  test.outputs[2]->fill({0, 0});
  if (has_history) test.outputs[3] = any_tensor(random, shape);
  if (between(random, 0, 1) == 0) test.in_place = {0, -1, -1, has_history ? 5 : -1};
  // What a coefficient of 0 leaves out is NaN.
  const std::vector<std::pair<std::size_t, std::vector<std::size_t>>> operands{
      {1, {1, 4}}, {4, {9, 10}}, {5, {6}}, {3, {2}}};
  for (const auto& [input, columns] : operands) {
    bool is_read = false;
    for (const std::size_t c : columns) is_read |= c < row.size() && row[c] != 0;
    if (test.inputs[input] && test.inputs[input]->value.dtype == Dtype::f32 && !is_read)
      test.inputs[input]->fill([] { return std::nan(""); });
  }
  std::vector<Doubles> in;
  for (auto& t : test.inputs) in.push_back(t ? t->read() : Doubles{});
  const Doubles z = is_noise_given ? in[3] : noise_of(3, count / 2);
  test.check(make_sampler_step, [&](const std::vector<Doubles>& got) {
    for (std::size_t e = 0; e < count; ++e) {
      const auto at = [&](std::size_t i) { return in[i].empty() ? 0.0f : static_cast<float>(in[i][e]); };
      const float b2 = is_guided ? row[9] : 0, q2 = is_guided ? row[10] : 0, h = has_history ? row[6] : 0;
      const Step step{row};
      float y = step.sum_of({{row[3], at(0)}, {row[4], at(1)}, {q2, at(4)}})[0];
      y = std::min(std::max(y, -row[7]), row[7]);
      float x = step.sum_of({{row[0], at(0)},
                             {row[1], at(1)},
                             {b2, at(4)},
                             {row[5], y},
                             {h, at(5)},
                             {row[2], static_cast<float>(z[e])}})[0];
      if (is_masked) {
        const float made = at(6) * x, kept = (1.0f - at(6)) * at(7);
        x = made + kept;
      }
      CHECK(got[0][e] == x);
      CHECK(got[1][e] == row[8] * x);
      if (has_history) CHECK(got[3][e] == y);
    }
    CHECK(got[2] == (Doubles{0, 0}));
  });
}

void test_steps() {
  Random random(2);
  const float inf = std::numeric_limits<float>::infinity();
  for (const Shape& shape : {Shape{2, 3, 16, 16}, Shape{2, 5, 7, 31}, Shape{2, 1}}) {
    for (int which = 0; which < 8; ++which) {
      const Options options{(which & 1) != 0, (which & 2) != 0, (which & 4) != 0};
      check_step(random, shape, {0.9f, -0.3f, 0.2f, 1.1f, 0.4f, 0.5f, 0.25f, 1.0f, 2.0f}, options);
      check_step(random, shape, {0.9f, -0.3f, 0, 1.1f, 0.4f, 0, 0, inf, 0.5f}, options);
      check_step(random, shape, {1, 0, 0, 1, 0, 0.1f, 0, inf, 1}, options);
      check_step(random, shape, {0, 0, 0.5f, 0, 0.4f, 0.5f, 0, 0.3f, 1}, options);
      check_step(random, shape, {0.9f, -0.3f, 0.2f, 1.1f, 0.4f, 0.5f, 0.25f, 1.0f, 2.0f, 0.6f, -0.7f}, options);
      check_step(random, shape, {0.9f, -0.3f, 0, 1.1f, 0.4f, 0.5f, 0, 1.0f, 2.0f, 0, 0}, options);
      check_step(random, shape, {0, 0, 0, 0, 0, 0, 0, 1.0f, 2.0f}, options);
    }
  }
}

// A flag is its own image's, stays through the steps of a run, and is gone with the next.
void test_flags() {
  const double huge = 3e38;
  for (const double bad : {std::nan(""), huge}) {
    for (const std::int64_t step : {0, 1}) {
      for (const double before : {0.0, 1.0}) {
        KernelCase test;
        test.op = {"sampler_step", "test", {}, {}, {}, {}};
        test.moment = {0, step};
        test.inputs = {tensor({2, 700}), tensor({2, 700}), tensor({9}), seeds(), {}, {}, {}, {}};
        test.inputs[0]->fill([] { return 1.0; });
        Doubles m(1400, 1.0);
        m[700 + 650] = bad;
        test.inputs[1]->fill(m);
        test.inputs[2]->fill({1, 1, 0, 0, 0, 0, 0, 1, 2});
        test.outputs = {tensor({2, 700}), tensor({2, 700}), tensor({2}, Dtype::i32), {}};
        test.outputs[2]->fill({before, 0});
        test.check(make_sampler_step,
                   [&](const std::vector<Doubles>& got) { CHECK(got[2] == (Doubles{step > 0 ? before : 0, 1})); });
      }
    }
  }
}

void test_to_uint8() {
  Random random(3);
  for (const Shape& shape : {Shape{2, 3, 16, 16}, Shape{1, 3, 1, 1}, Shape{1, 3, 37, 29}}) {
    KernelCase test;
    test.op = {"to_uint8", "test", {}, {}, {}, {}};
    test.op.attributes = {{"scale", 1.5}, {"shift", -0.25}};
    test.inputs = {any_tensor(random, shape)};
    Doubles x{std::nan(""), 1e30, -1e30, std::numeric_limits<double>::infinity()};
    while (x.size() < static_cast<std::size_t>(count_of(shape))) x.push_back(normal(random));
    x.resize(static_cast<std::size_t>(count_of(shape)));
    test.inputs[0]->fill(x);
    test.outputs = {any_tensor(random, {shape[0], shape[2], shape[3], 3}, Dtype::u8)};
    const auto pixels = static_cast<std::size_t>(shape[2] * shape[3]);
    const Doubles in = test.inputs[0]->read();
    test.check(make_to_uint8, [&](const std::vector<Doubles>& got) {
      for (std::size_t e = 0; e < in.size(); ++e) {
        const std::size_t b = e / pixels / 3, c = e / pixels % 3, p = e % pixels;
        const float level = (static_cast<float>(in[e]) * 1.5f + -0.25f + 1.0f) * 127.5f;
        const double expected = std::isnan(level) ? 0 : std::min(255.0f, std::max(0.0f, std::nearbyint(level)));
        CHECK(got[0][(b * pixels + p) * 3 + c] == expected);
      }
    });
  }
}

// Levels k + 1/2 go to the even one.
void test_halves() {
  KernelCase test;
  test.op = {"to_uint8", "test", {}, {}, {}, {}};
  test.op.attributes = {{"scale", std::int64_t{1}}, {"shift", -1.0}};
  test.inputs = {tensor({1, 3, 1, 1})};
  test.outputs = {tensor({1, 1, 1, 3}, Dtype::u8)};
  test.inputs[0]->fill({1 / 255.0 + 0x1p-60, 3 / 255.0, 5 / 255.0});
  const Doubles x = test.inputs[0]->read();
  test.check(make_to_uint8, [&](const std::vector<Doubles>& got) {
    for (std::size_t e = 0; e < 3; ++e) {
      const float level = (static_cast<float>(x[e]) - 1.0f + 1.0f) * 127.5f;
      CHECK(got[0][e] == std::nearbyint(level));
    }
  });
}

}  // namespace
}  // namespace fewstep::cpu

int main() {
  fewstep::cpu::test_initial_state();
  fewstep::cpu::test_steps();
  fewstep::cpu::test_flags();
  fewstep::cpu::test_to_uint8();
  fewstep::cpu::test_halves();
}

#include <cmath>
#include <string>

#include "kernel_case.h"

namespace fewstep::cpu {
namespace {

double activated(const std::string& name, double x) {
  if (name == "silu") return x / (1 + std::exp(-x));
  if (name == "relu") return x < 0 ? 0 : x;
  if (name == "gelu") return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
  if (name == "gelu_tanh") return x / (1 + std::exp(-2 * 0.7978845608028654 * (x + 0.044715 * x * x * x)));
  if (name == "sigmoid") return 1 / (1 + std::exp(-x));
  if (name == "tanh") return std::tanh(x);
  return x;
}

struct Statistics {
  double mean = 0, deviation = 0;
};

Statistics statistics(const Doubles& x, double eps, bool is_centred = true) {
  double mean = 0, square = 0;
  for (const double v : x) mean += v / static_cast<double>(x.size());
  if (!is_centred) mean = 0;
  for (const double v : x) square += (v - mean) * (v - mean) / static_cast<double>(x.size());
  return {mean, std::sqrt(square + eps)};
}

// What a few roundings of the terms of (x - mean) / deviation * weight * gain + ... may come to, the rounding of x's
// own size included: it stands for the pivot's.
double bound(double x, const Statistics& s, double weight, double bias, double gain, double shift) {
  const double spread = (std::abs(x - s.mean) + 0x1p-10 * std::abs(s.mean)) / s.deviation;
  return 0x1p-20 * (std::abs(gain) * (spread * std::abs(weight) + std::abs(bias)) + std::abs(shift)) + 1e-30;
}

struct Image {
  std::int64_t B, C, G, H, W;
};

void check_group_norm(Random& random, const Image& s, const std::string& layout, const std::string& activation,
                      bool has_all, double mean) {
  const Shape shape = s.H == 0 ? Shape{s.B, s.C, s.W} : Shape{s.B, s.C, s.H, s.W};
  std::vector<std::size_t> last{0, 2, 3, 1};
  if (s.H == 0) last = {0, 2, 1};
  const auto image = [&] {
    if (layout == "any") return any_tensor(random, shape);
    Tensor t = layout == "last" ? tensor(shape, last) : tensor(shape);
    if (layout != "slice") return t;
    Shape wide = shape;  // of an image of more channels
    wide[1] += 5;
    t = tensor(wide, last);
    t.value.shape = shape;
    t.value.offset += 3;
    return t;
  };
  KernelCase test;
  test.op = {"group_norm", "test", {}, {}, {}, {}};
  test.op.attributes = {{"groups", s.G}, {"eps", 1e-5}, {"activation", activation}};
  test.inputs = {image(), tensor({s.C}), tensor({s.C}), any_tensor(random, {s.B, s.C}), tensor({s.B, s.C}), image()};
  test.inputs[0]->fill([&] { return mean + normal(random); });
  for (std::size_t i = 1; i < 6; ++i) test.inputs[i]->fill([&] { return normal(random); });
  test.outputs = {image(), image()};
  if (between(random, 0, 2) == 0) test.in_place = {0};
  if (!has_all) {
    for (const std::size_t i : {1, 3, 4, 5}) test.inputs[i].reset();
    test.outputs[1].reset();
  } else if (between(random, 0, 1) == 0) {
    test.outputs[1].reset();
  }
  std::vector<Doubles> in;
  for (auto& t : test.inputs) in.push_back(t ? t->read() : Doubles{});
  Doubles v = in[0];
  for (std::size_t e = 0; e < v.size() && has_all; ++e) v[e] = static_cast<float>(v[e] + in[5][e]);
  const auto pixels = static_cast<std::size_t>(v.size()) / static_cast<std::size_t>(s.B * s.C);
  const auto of_group = static_cast<std::size_t>(s.C / s.G) * pixels;
  test.check(make_group_norm, [&](const std::vector<Doubles>& got) {
    for (std::size_t first = 0; first < v.size(); first += of_group) {
      const auto begin = v.begin() + static_cast<std::ptrdiff_t>(first);
      const Statistics stat = statistics(Doubles(begin, begin + static_cast<std::ptrdiff_t>(of_group)), 1e-5);
      for (std::size_t e = first; e < first + of_group; ++e) {
        const std::size_t bc = e / pixels, c = bc % static_cast<std::size_t>(s.C);
        const double weight = has_all ? in[1][c] : 1, bias = in[2][c];
        const double gain = has_all ? 1 + in[3][bc] : 1, shift = has_all ? in[4][bc] : 0;
        const double before = ((v[e] - stat.mean) / stat.deviation * weight + bias) * gain + shift;
        const double room = 2 * bound(v[e], stat, weight, bias, gain, shift);
        CHECK(near(got[0][e], activated(activation, before), room));
      }
    }
    if (!got[1].empty()) CHECK(got[1] == v);
  });
}

void test_group_norm() {
  Random random(1);
  const std::vector<Image> images{{1, 48, 8, 16, 16}, {2, 96, 8, 4, 4},   {1, 192, 8, 4, 4},  {1, 64, 32, 3, 5},
                                  {3, 6, 3, 1, 1},    {2, 5, 5, 7, 3},    {1, 20, 1, 5, 5},   {1, 1, 1, 2, 3},
                                  {2, 33, 3, 40, 11}, {1, 32, 4, 0, 300}, {1, 16, 2, 61, 67}, {2, 12, 2, 0, 9}};
  const std::vector<std::string> activations{"", "silu", "relu", "gelu", "gelu_tanh", "sigmoid", "tanh"};
  std::size_t turn = 0;
  for (const Image& image : images) {
    for (const char* layout : {"last", "first", "slice", "any"}) {
      for (const bool has_all : {false, true}) {
        const double mean = turn % 3 == 0 ? 1000 : 0.5;  // a variance beside a mean of 1000 is lost in one pass
        check_group_norm(random, image, layout, activations[turn++ % activations.size()], has_all, mean);
      }
    }
  }
}

void test_a_group_of_equal_values_is_its_bias() {
  KernelCase test;
  test.op = {"group_norm", "test", {}, {}, {}, {}};
  test.op.attributes = {{"groups", std::int64_t{2}}, {"eps", 1e-5}, {"activation", std::string()}};
  test.inputs = {tensor({1, 32, 9}, {0, 2, 1}), {}, tensor({32}), {}, {}, {}};
  test.inputs[0]->fill([] { return 3e4 + 0.125; });
  test.inputs[2]->fill([] { return 0.75; });
  test.outputs = {tensor({1, 32, 9}), {}};
  test.check(make_group_norm, [](const std::vector<Doubles>& got) { CHECK(got[0] == Doubles(288, 0.75)); });
}

void check_rows(Random& random, const std::string& kind, Shape shape, double mean) {
  const std::int64_t D = shape.back();
  const auto parameter = [&]() -> std::optional<Tensor> {
    if (between(random, 0, 2) == 0) return {};
    std::vector<std::size_t> order(shape.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::vector<bool> repeated(shape.size());
    for (std::size_t axis = 0; axis + 1 < shape.size(); ++axis) repeated[axis] = between(random, 0, 1) > 0;
    return tensor(shape, order, between(random, 0, 1), repeated);
  };
  KernelCase test;
  test.op = {kind, "test", {}, {}, {}, {}};
  test.op.attributes = {{"eps", 1e-6}};
  test.inputs = {any_tensor(random, shape), tensor({D}, {0}, between(random, 0, 1)), tensor({D}), parameter(),
                 parameter()};
  test.inputs[0]->fill([&] { return mean + normal(random); });
  for (std::size_t i = 1; i < 5; ++i) {
    if (i < 3 && between(random, 0, 2) == 0) test.inputs[i].reset();
    if (test.inputs[i]) test.inputs[i]->fill([&] { return normal(random); });
  }
  test.outputs = {any_tensor(random, shape)};
  if (between(random, 0, 2) == 0) test.in_place = {0};
  std::vector<Doubles> in;
  for (auto& t : test.inputs) in.push_back(t ? t->read() : Doubles{});
  const auto at = [&](std::size_t i, std::size_t e, double otherwise) { return in[i].empty() ? otherwise : in[i][e]; };
  const auto size = static_cast<std::size_t>(D);
  test.check(make_layer_norm, [&](const std::vector<Doubles>& got) {
    for (std::size_t e = 0; e < got[0].size(); ++e) {
      const auto begin = in[0].begin() + static_cast<std::ptrdiff_t>(e / size * size);
      const Statistics stat = statistics(Doubles(begin, begin + D), 1e-6, kind == "layer_norm");
      const double weight = at(1, e % size, 1), bias = at(2, e % size, 0), gain = 1 + at(3, e, 0), shift = at(4, e, 0);
      const double expected = ((in[0][e] - stat.mean) / stat.deviation * weight + bias) * gain + shift;
      CHECK(near(got[0][e], expected, bound(in[0][e], stat, weight, bias, gain, shift)));
    }
  });
}

void test_rows() {
  Random random(2);
  for (const char* kind : {"layer_norm", "rms_norm"}) {
    for (const std::int64_t D : {1, 2, 7, 8, 31, 64, 100, 257}) {
      check_rows(random, kind, {3, D}, 0);
      check_rows(random, kind, {2, 5, D}, 1000);
      check_rows(random, kind, {D}, -3);
    }
  }
}

void test_softmax() {
  Random random(3);
  for (const std::int64_t D : {1, 3, 16, 77, 300}) {
    for (const double spread : {1.0, 50.0}) {
      KernelCase test;
      test.op = {"softmax", "test", {}, {}, {}, {}};
      test.inputs = {any_tensor(random, {2, 5, D})};
      test.inputs[0]->fill([&] { return spread * normal(random); });
      test.outputs = {any_tensor(random, {2, 5, D})};
      if (D == 16) test.in_place = {0};
      const Doubles x = test.inputs[0]->read();
      const auto size = static_cast<std::size_t>(D);
      test.check(make_softmax, [&](const std::vector<Doubles>& got) {
        for (std::size_t e = 0; e < x.size(); ++e) {
          double sum = 0;
          for (std::size_t k = e / size * size; k < (e / size + 1) * size; ++k) sum += std::exp(x[k] - x[e]);
          CHECK(near(got[0][e], 1 / sum, 0x1p-22 * (1 / sum) * (1 + spread) + 1e-37));
        }
      });
    }
  }
}

}  // namespace
}  // namespace fewstep::cpu

int main() {
  fewstep::cpu::test_group_norm();
  fewstep::cpu::test_a_group_of_equal_values_is_its_bias();
  fewstep::cpu::test_rows();
  fewstep::cpu::test_softmax();
}

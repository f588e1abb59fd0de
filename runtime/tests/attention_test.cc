#include <cmath>

#include "kernel_case.h"

namespace fewstep::cpu {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

struct Sizes {
  std::int64_t B, H, G, N, M, D;
};

enum class Mask { none, values, some_out, row_out };

void check_attention(Random& random, const Sizes& s, Mask mask, bool is_causal) {
  const double scale = 1 / std::sqrt(static_cast<double>(s.D));
  KernelCase test;
  test.op = {"attention", "test", {}, {}, {}, {}};
  test.op.attributes = {{"scale", scale}, {"causal", std::int64_t{is_causal}}};
  test.inputs = {any_tensor(random, {s.B, s.H, s.N, s.D}),
                 any_tensor(random, {s.B, s.G, s.M, s.D}),
                 any_tensor(random, {s.B, s.G, s.M, s.D}),
                 {}};
  for (std::size_t i = 0; i < 3; ++i) test.inputs[i]->fill([&] { return normal(random) * (i == 0 ? 3 : 1); });
  if (mask != Mask::none) {
    test.inputs[3] = tensor({s.B, s.H, s.N, s.M}, {0, 1, 2, 3}, 0, {true, true, false, false});
    std::int64_t e = 0;
    test.inputs[3]->fill([&] {
      const std::int64_t key = e % s.M, query = e++ / s.M % s.N;
      if (mask == Mask::row_out && query == s.N / 2) return -kInf;
      return mask == Mask::some_out && key % 3 == 1 ? -kInf : std::sin(static_cast<double>(query * 7 + key));
    });
  }
  test.outputs = {any_tensor(random, {s.B, s.H, s.N, s.D})};
  std::vector<Doubles> in;
  for (auto& t : test.inputs) in.push_back(t ? t->read() : Doubles{});
  test.check(make_attention, [&](const std::vector<Doubles>& got) {
    for (std::int64_t row = 0; row < s.B * s.H * s.N; ++row) {
      const std::int64_t b = row / s.N / s.H, h = row / s.N % s.H, n = row % s.N, g = b * s.G + h / (s.H / s.G);
      Doubles logits;
      double most = -kInf, size = 0;
      for (std::int64_t m = 0; m < s.M; ++m) {
        double sum = 0, sizes = 0;
        for (std::int64_t d = 0; d < s.D; ++d) {
          const double product = in[0][static_cast<std::size_t>(row * s.D + d)] *
                                 in[1][static_cast<std::size_t>((g * s.M + m) * s.D + d)] * scale;
          sum += product;
          sizes += std::abs(product);
        }
        if (mask != Mask::none) sum += in[3][static_cast<std::size_t>(row * s.M + m)];
        if (is_causal && m > n) sum = -kInf;
        logits.push_back(sum);
        most = std::max(most, sum);
        size = std::max(size, sizes);
      }
      for (std::int64_t d = 0; d < s.D; ++d) {
        double sum = 0, total = 0, sizes = 0;
        for (std::int64_t m = 0; m < s.M; ++m) {
          const double p = most == -kInf ? 0 : std::exp(logits[static_cast<std::size_t>(m)] - most);
          const double v = in[2][static_cast<std::size_t>((g * s.M + m) * s.D + d)];
          sum += p * v;
          sizes += p * std::abs(v);
          total += p;
        }
        const double expected = total == 0 ? 0 : sum / total, of_values = total == 0 ? 0 : sizes / total;
        CHECK(near(got[0][static_cast<std::size_t>(row * s.D + d)], expected, 0x1p-21 * of_values * (1 + size)));
      }
    }
  });
}

void test_attention() {
  Random random(1);
  const std::vector<Sizes> sizes{{1, 4, 4, 16, 16, 48}, {2, 2, 1, 5, 7, 3},    {1, 1, 1, 1, 1, 1},
                                 {1, 6, 2, 70, 33, 8},  {1, 1, 1, 3, 300, 64}, {1, 2, 2, 130, 20, 5},
                                 {1, 1, 1, 2, 90, 512}, {3, 2, 2, 17, 129, 40}};
  for (const Sizes& s : sizes) {
    check_attention(random, s, Mask::none, false);
    check_attention(random, s, Mask::none, true);
    check_attention(random, s, Mask::values, false);
    check_attention(random, s, Mask::some_out, true);
    check_attention(random, s, Mask::row_out, false);
  }
}

// What is masked may be anything but NaN itself: a huge logit before the ones that count, and after them.
void test_extremes() {
  KernelCase test;
  test.op = {"attention", "test", {}, {}, {}, {}};
  test.op.attributes = {{"scale", 1.0}, {"causal", std::int64_t{0}}};
  test.inputs = {tensor({1, 1, 1, 1}), tensor({1, 1, 400, 1}), tensor({1, 1, 400, 1}), {}};
  for (const std::size_t peak : {0u, 200u, 399u}) {
    Doubles keys(400, -1e4), values(400, 3.0);
    keys[peak] = 1e4;
    values[peak] = 7;
    test.inputs[0]->fill([] { return 1.0; });
    test.inputs[1]->fill(keys);
    test.inputs[2]->fill(values);
    test.outputs = {tensor({1, 1, 1, 1})};
    test.check(make_attention, [](const std::vector<Doubles>& got) { CHECK(got[0][0] == 7); });
  }
  test.inputs[1]->fill([] { return std::nan(""); });
  test.check(make_attention, [](const std::vector<Doubles>& got) { CHECK(std::isnan(got[0][0])); });
}

}  // namespace
}  // namespace fewstep::cpu

int main() {
  fewstep::cpu::test_attention();
  fewstep::cpu::test_extremes();
}

#include "cpu/elementwise.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <vector>

#include "kernel_case.h"

namespace fewstep::cpu {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

double gelu(double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); }

double gelu_tanh(double x) {
  const double u = std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
  return x / (1 + std::exp(-2 * u));
}

struct Function {
  const char* name;
  Operator op;
  std::function<double(double)> exact;
  double ulps;       // at most this far; exact functions have 0
  double below = 0;  // or this
};

const std::vector<Function>& functions() {
  static const std::vector<Function> all{
      {"neg", Operator::neg, [](double x) { return -x; }, 0},
      {"abs", Operator::abs, [](double x) { return std::abs(x); }, 0},
      {"sqrt", Operator::sqrt, [](double x) { return std::sqrt(x); }, 0.5},
      {"rsqrt", Operator::rsqrt, [](double x) { return 1 / std::sqrt(x); }, 2},
      {"reciprocal", Operator::reciprocal, [](double x) { return 1 / x; }, 0.5},
      {"exp", Operator::exp, [](double x) { return std::exp(x); }, 2},
      {"log", Operator::log, [](double x) { return std::log(x); }, 2},
      {"sin", Operator::sin, [](double x) { return std::sin(x); }, 2},
      {"cos", Operator::cos, [](double x) { return std::cos(x); }, 2},
      {"tanh", Operator::tanh, [](double x) { return std::tanh(x); }, 2},
      {"erf", Operator::erf, [](double x) { return std::erf(x); }, 2},
      {"sigmoid", Operator::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, 2},
      {"silu", Operator::silu, [](double x) { return x / (1 + std::exp(-x)); }, 2, 3e-37},
      {"relu", Operator::relu, [](double x) { return x < 0 ? 0 : x; }, 0},
      {"gelu", Operator::gelu, gelu, 2},
      {"gelu_tanh", Operator::gelu_tanh, gelu_tanh, 2},
      {"floor", Operator::floor, [](double x) { return std::floor(x); }, 0},
      {"ceil", Operator::ceil, [](double x) { return std::ceil(x); }, 0},
      {"round", Operator::round, [](double x) { return std::nearbyint(x); }, 0},
      {"sign", Operator::sign, [](double x) { return x > 0   ? 1
                                                     : x < 0 ? -1
                                                             : x; }, 0},
      {"not", Operator::logical_not, [](double x) { return x == 0; }, 0},
  };
  return all;
}

// Every 65521st float of all 2^32, and the neighbours of those where something happens.
std::vector<float> arguments() {
  std::vector<float> all;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 65521) {
    all.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  for (const double x : {0.0,     1e-45, 1.2e-38, 1e-4,  0.5,   0.7071, 1.0,       1.5,   2.5,    1.5708,
                         3.14159, 17.0,  87.3,    88.72, 103.9, 1e6,    8388607.5, 1.6e7, 3.4e38, kInf}) {
    for (float near = static_cast<float>(x), i = -3; i <= 3; ++i, near = std::nextafter(near, 3.4e38f)) {
      all.push_back(near);
      all.push_back(-near);
    }
  }
  Random random(1);
  for (int i = 0; i < 40000; ++i) all.push_back(static_cast<float>(normal(random) * std::exp(4 * normal(random))));
  return all;
}

// Below 2^-126 a float has fewer digits: an ulp there is one of 2^-126.
void test_unary() {
  bool failed = false;
  const std::vector<float> x = arguments();
  std::vector<float> y(x.size());
  for (const Isa isa : isas()) {
    for (const Function& f : functions()) {
      elementwise(isa, f.op)(x.data(), nullptr, nullptr, y.data(), x.size());
      double worst = 0, where = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double exact = std::isnan(x[i]) && f.op != Operator::logical_not ? x[i] : f.exact(x[i]);
        const double limit = std::abs(exact) > 3.4028235e38 ? (exact > 0 ? kInf : -kInf) : exact;
        if (near(y[i], limit, f.below)) continue;
        const double error = std::abs(y[i] - limit) / ulp(limit);
        if (!(error <= worst)) worst = error, where = x[i];
      }
      if (!(worst <= f.ulps)) std::fprintf(stderr, "%s %s: %g ulp at %.9g\n", name_of(isa), f.name, worst, where);
      failed |= !(worst <= f.ulps);
    }
  }
  CHECK(!failed);
}

void test_bits_do_not_depend_on_place() {
  const std::vector<float> x = arguments();
  std::vector<float> whole(100), part(100);
  for (const Isa isa : isas()) {
    for (const Function& f : functions()) {
      const Elementwise run = elementwise(isa, f.op);
      run(x.data() + 33000, nullptr, nullptr, whole.data(), 100);
      for (std::size_t first = 0; first < 20; ++first) {
        for (const std::size_t count : {1u, 3u, 7u, 19u, 35u}) {
          run(x.data() + 33000 + first, nullptr, nullptr, part.data(), count);
          for (std::size_t i = 0; i < count; ++i) {
            CHECK(std::bit_cast<std::uint32_t>(part[i]) == std::bit_cast<std::uint32_t>(whole[first + i]));
          }
        }
      }
    }
  }
}

void test_several_operands() {
  struct Binary {
    Operator op;
    std::function<double(double, double)> exact;
    double ulps;
  };
  const double nan = std::nan("");
  const std::vector<Binary> all{
      {Operator::add, [](double a, double b) { return a + b; }, 0.5},
      {Operator::sub, [](double a, double b) { return a - b; }, 0.5},
      {Operator::mul, [](double a, double b) { return a * b; }, 0.5},
      {Operator::div, [](double a, double b) { return a / b; }, 0.5},
      {Operator::pow, [](double a, double b) { return std::pow(a, b); }, 2},
      {Operator::min, [=](double a, double b) { return std::isnan(a) || std::isnan(b) ? nan : std::min(a, b); }, 0},
      {Operator::max, [=](double a, double b) { return std::isnan(a) || std::isnan(b) ? nan : std::max(a, b); }, 0},
      {Operator::less, [](double a, double b) { return a < b; }, 0},
      {Operator::greater, [](double a, double b) { return a > b; }, 0},
      {Operator::equal, [](double a, double b) { return a == b; }, 0},
      {Operator::logical_and, [](double a, double b) { return a != 0 && b != 0; }, 0},
      {Operator::logical_or, [](double a, double b) { return a != 0 || b != 0; }, 0},
      {Operator::add_silu, [](double a, double b) { return (a + b) / (1 + std::exp(-(a + b))); }, 1e3},
  };
  std::vector<float> a, b, y;
  Random random(2);
  const std::vector<double> special{0.0, -0.0, 1, -1, 2, 3, -3, 0.5, -0.5, 1e30, -1e30, kInf, -kInf, nan};
  for (const double p : special) {
    for (const double q : special) a.push_back(static_cast<float>(p)), b.push_back(static_cast<float>(q));
  }
  for (int i = 0; i < 3000; ++i) {
    a.push_back(static_cast<float>(normal(random) * 9));
    b.push_back(static_cast<float>(between(random, 0, 1) > 0 ? normal(random) * 9
                                                             : static_cast<double>(between(random, -9, 9))));
  }
  y.resize(a.size());
  for (const Isa isa : isas()) {
    for (const Binary& f : all) {
      elementwise(isa, f.op)(a.data(), b.data(), nullptr, y.data(), a.size());
      for (std::size_t i = 0; i < a.size(); ++i) {
        const double exact = static_cast<double>(f.exact(a[i], b[i]));
        const double limit = std::abs(exact) > 3.40282357e38 ? std::copysign(kInf, exact) : exact;
        const bool is_near = near(y[i], limit, f.ulps * ulp(limit));
        if (!is_near)
          std::fprintf(stderr, "%s %d: f(%g, %g) = %g\n", name_of(isa), static_cast<int>(f.op), a[i], b[i], y[i]);
        CHECK(is_near);
      }
    }
  }
}

void test_modulo_of_whole_numbers() {
  std::vector<float> a, b, y;
  Random random(3);
  for (int i = 0; i < 5000; ++i) {
    a.push_back(static_cast<float>(between(random, -(1 << 24), 1 << 24)));
    b.push_back(static_cast<float>(between(random, 1, 1 << between(random, 1, 20)) * (between(random, 0, 1) * 2 - 1)));
  }
  y.resize(a.size());
  for (const Isa isa : isas()) {
    elementwise(isa, Operator::mod)(a.data(), b.data(), nullptr, y.data(), a.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      const auto m = static_cast<std::int64_t>(a[i]), n = static_cast<std::int64_t>(b[i]);
      CHECK(y[i] == static_cast<float>((m % n + n) % n));
    }
  }
}

void test_three_operands() {
  const float a[]{0, 1, -0.0f, std::nanf(""), 2, 0, 5, 6, 7}, b[]{1, 2, 3, 4, 5, 6, 7, 8, 9};
  const float c[]{-1, -2, -3, -4, -5, -6, -7, -8, -9};
  float y[9];
  for (const Isa isa : isas()) {
    elementwise(isa, Operator::where)(a, b, c, y, 9);
    for (int i = 0; i < 9; ++i) CHECK(y[i] == (a[i] != 0 ? b[i] : c[i]));
    elementwise(isa, Operator::multiply_add)(a, b, c, y, 9);
    for (int i = 0; i < 9; ++i) CHECK(near(y[i], static_cast<double>(a[i]) * b[i] + c[i], 0));
  }
}

}  // namespace
}  // namespace fewstep::cpu

int main() {
  fewstep::cpu::test_unary();
  fewstep::cpu::test_bits_do_not_depend_on_place();
  fewstep::cpu::test_several_operands();
  fewstep::cpu::test_modulo_of_whole_numbers();
  fewstep::cpu::test_three_operands();
}

#include <cstdio>
#include <string>

#include "problem.h"

namespace fewstep::cpu {
namespace {

struct Product {
  Op op;
  Operand a, b, bias, gate, residual, y;
  std::vector<double> expected, magnitude;
};

// A view of `shape` that repeats along some batch axes.
Operand repeated(Operands& operands, const std::vector<std::int64_t>& shape, bool may_repeat, bool constant) {
  std::vector<std::int64_t> stored = shape;
  for (std::size_t i = 0; may_repeat && i + 2 < shape.size(); ++i) {
    if (operands.below(2)) stored[i] = 1;
  }
  const Operand out = operands.view(stored, {}, constant);
  Value& value = operands.value_of(out);
  for (std::size_t i = 0; i + 2 < shape.size(); ++i) {
    if (stored[i] != shape[i]) value.strides[i] = 0;
  }
  value.shape = shape;
  return out;
}

Product make(Operands& operands) {
  const std::vector<std::int64_t> batch =
      operands.pick<std::vector<std::int64_t>>({{}, {}, {1}, {2}, {3, 2}, {2, 1, 3}, {2, 3, 1, 2}});
  const std::int64_t M = operands.pick({1, 2, 3, 4, 7, 16, 70}), K = operands.pick({1, 3, 17, 48, 300});
  const std::int64_t N = operands.pick({1, 5, 8, 23, 24, 25, 48, 77});
  const std::string glu = operands.pick<std::string>({"", "", "", "value_first", "gate_first"});
  const std::string activation =
      operands.pick<std::string>({"", "silu", "gelu", "gelu_tanh", "relu", "sigmoid", "tanh"});
  const double scale = operands.pick({1.0, 0.125});
  const std::int64_t columns = glu.empty() ? N : 2 * N;
  const auto shape = [&](std::int64_t rows, std::int64_t width) {
    std::vector<std::int64_t> out = batch;
    out.push_back(rows), out.push_back(width);
    return out;
  };
  Product out;
  out.op = Op{.kind = "matmul", .name = "product", .inputs = {}, .outputs = {}, .attributes = {}, .launches = {}};
  out.op.attributes = {{"activation", activation}, {"scale", scale}, {"glu", glu}};
  out.a = repeated(operands, shape(M, K), operands.below(4) == 0, false);
  out.b = repeated(operands, shape(K, columns), operands.below(2) == 0, operands.below(2) == 0);
  if (operands.below(2)) out.bias = operands.view({columns}, {0}, true);
  if (operands.below(3) == 0) out.gate = repeated(operands, shape(M, N), true, false);
  if (operands.below(3) == 0) out.residual = operands.view(shape(M, N));
  out.y = operands.view(shape(M, N), {}, false, true);
  Operands::each(out.y.value->shape, [&](const std::vector<std::int64_t>& at) {
    double size = 0;
    const auto dot = [&](std::int64_t column) {
      double sum = 0;
      std::vector<std::int64_t> left = at, right = at;
      for (std::int64_t k = 0; k < K; ++k) {
        left.back() = k, right[at.size() - 2] = k, right.back() = column;
        const double term = scale * static_cast<double>(Operands::element(out.a, left)) *
                            static_cast<double>(Operands::element(out.b, right));
        sum += term, size += std::abs(term);
      }
      const double bias = out.bias ? static_cast<double>(Operands::element(out.bias, {column})) : 0;
      size += std::abs(bias);
      return sum + bias;
    };
    const std::int64_t n = at.back();
    double y = 0;
    if (glu.empty()) {
      y = activated(activation, dot(n));
    } else {
      const double value = dot(glu == "value_first" ? n : N + n);
      const double gate = activated(activation, dot(glu == "value_first" ? N + n : n));
      y = value * gate, size *= std::abs(value) + std::abs(gate) + 1;
    }
    const double gate = out.gate ? static_cast<double>(Operands::element(out.gate, at)) : 1;
    const double residual = out.residual ? static_cast<double>(Operands::element(out.residual, at)) : 0;
    out.expected.push_back(residual + gate * y);
    out.magnitude.push_back(size * std::max(std::abs(gate), 1.0) + std::abs(residual) + 1);
  });
  return out;
}

void check(const Product& product, bool in_place, int number) {
  for (const Isa isa : isas()) {
    std::vector<float> first;
    for (const int threads : {1, 2, 3}) {
      Operands::poison(product.y);
      const Operand residual = product.residual && in_place ? product.y : product.residual;
      if (in_place && product.residual) {
        Operands::each(product.y.value->shape, [&](const auto& at) {
          Operands::element(product.y, at) = Operands::element(product.residual, at);
        });
      }
      const Problem problem{
          product.op, {product.a, product.b, product.bias, product.gate, residual}, {product.y}, isa, threads};
      const auto kernel = threads < 3 ? make_matmul(problem) : repacked(make_matmul, problem, product.b);
      run_all(*kernel, threads);
      std::vector<float> got;
      Operands::each(product.y.value->shape, [&](const auto& at) { got.push_back(Operands::element(product.y, at)); });
      for (std::size_t i = 0; i < got.size(); ++i) {
        const double error = std::abs(static_cast<double>(got[i]) - product.expected[i]);
        if (!(error <= 1e-6 * product.magnitude[i])) {
          std::fprintf(stderr, "case %d, %s, %s, %d threads: %zd: got %g, expected %g\n", number, name_of(isa),
                       kernel->choice().c_str(), threads, i, static_cast<double>(got[i]), product.expected[i]);
          CHECK(false);
        }
      }
      if (first.empty()) first = got;
      CHECK(std::memcmp(first.data(), got.data(), got.size() * sizeof(float)) == 0);
    }
  }
}

}  // namespace
}  // namespace fewstep::cpu

int main() {
  fewstep::cpu::Operands operands(11);
  for (int i = 0; i < 150; ++i) fewstep::cpu::check(fewstep::cpu::make(operands), i % 2 == 0, i);
}

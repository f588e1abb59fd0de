#include <cstdio>
#include <string>

#include "problem.h"

namespace fewstep::cpu {
namespace {

struct Case {
  std::int64_t batch, channels, height, width, outputs, kernel_y, kernel_x, groups;
  std::vector<std::int64_t> stride, padding, dilation;
  std::int64_t upsample;
  std::string activation;
  double scale;
};

struct Conv {
  Op op;
  Operand x, weight, bias, embedding, residual, y;
  std::vector<double> expected, magnitude;  // of y's elements in order; the sum of the sizes of what is added
};

std::int64_t extent(std::int64_t size, std::int64_t before, std::int64_t after, std::int64_t taps,
                    std::int64_t dilation, std::int64_t stride) {
  return (size + before + after - dilation * (taps - 1) - 1) / stride + 1;
}

Conv make(Operands& operands, const Case& c, bool channels_last) {
  Conv out;
  out.op = Op{.kind = "conv2d", .name = "conv", .inputs = {}, .outputs = {}, .attributes = {}, .launches = {}};
  out.op.attributes = {{"stride", c.stride},    {"padding", c.padding},       {"dilation", c.dilation},
                       {"groups", c.groups},    {"activation", c.activation}, {"scale", c.scale},
                       {"upsample", c.upsample}};
  const std::int64_t H =
      extent(c.height * c.upsample, c.padding[0], c.padding[2], c.kernel_y, c.dilation[0], c.stride[0]);
  const std::int64_t W =
      extent(c.width * c.upsample, c.padding[1], c.padding[3], c.kernel_x, c.dilation[1], c.stride[1]);
  const std::vector<std::size_t> last =
      channels_last ? std::vector<std::size_t>{0, 2, 3, 1} : std::vector<std::size_t>{};
  out.x = operands.view({c.batch, c.channels, c.height, c.width}, last);
  out.weight = operands.view({c.outputs, c.channels / c.groups, c.kernel_y, c.kernel_x}, {0, 1, 2, 3}, true);
  if (operands.below(4)) out.bias = operands.view({c.outputs}, {0}, operands.below(2) == 0);
  if (operands.below(2)) out.embedding = operands.view({c.batch, c.outputs});
  if (operands.below(2)) out.residual = operands.view({c.batch, c.outputs, H, W}, last);
  out.y = operands.view({c.batch, c.outputs, H, W}, last, false, true);
  const std::int64_t depth = c.channels / c.groups;
  Operands::each(out.y.value->shape, [&](const std::vector<std::int64_t>& at) {
    double sum = 0, size = 0;
    const auto add = [&](double term) { sum += term, size += std::abs(term); };
    for (std::int64_t k = 0; k < c.kernel_y * c.kernel_x * depth; ++k) {
      const std::int64_t channel = k % depth, v = k / depth / c.kernel_x, h = k / depth % c.kernel_x;
      const std::int64_t y = at[2] * c.stride[0] + v * c.dilation[0] - c.padding[0];
      const std::int64_t x = at[3] * c.stride[1] + h * c.dilation[1] - c.padding[1];
      if (y < 0 || x < 0 || y >= c.height * c.upsample || x >= c.width * c.upsample) continue;
      const std::int64_t group = at[1] / (c.outputs / c.groups);
      add(static_cast<double>(
              Operands::element(out.x, {at[0], group * depth + channel, y / c.upsample, x / c.upsample})) *
          static_cast<double>(Operands::element(out.weight, {at[1], channel, v, h})));
    }
    if (out.bias) add(Operands::element(out.bias, {at[1]}));
    if (out.embedding) add(Operands::element(out.embedding, {at[0], at[1]}));
    if (out.residual) add(Operands::element(out.residual, at));
    out.expected.push_back(activated(c.activation, sum * c.scale));
    out.magnitude.push_back(size * std::abs(c.scale) + 1);
  });
  return out;
}

// Runs it for every instruction set and number of threads; all threads give the same bits. Sums of n terms in float err
// by a few roundings of the sum of their sizes; the transforms of Winograd lose some 4 times as much.
void check(Operands& operands, const Case& c, bool channels_last, bool in_place) {
  const Conv conv = make(operands, c, channels_last);
  std::vector<float> residual;
  const bool over = in_place && conv.residual;
  for (const Isa isa : isas()) {
    std::vector<float> first;
    for (const int threads : {1, 2, 3}) {
      Operand y = conv.y;
      if (over) {
        y = operands.view(conv.residual.value->shape, {}, false, true);
        operands.value_of(y) = *conv.residual.value;
        std::size_t floats = 1;
        for (std::size_t i = 0; i < 4; ++i) {
          floats += static_cast<std::size_t>((y.value->shape[i] - 1) * y.value->strides[i]);
        }
        residual.assign(conv.residual.at<float>({}), conv.residual.at<float>({}) + floats);
        y.base = reinterpret_cast<std::byte*>(residual.data());
      } else {
        Operands::poison(y);
      }
      const Problem problem{
          conv.op, {conv.x, conv.weight, conv.bias, conv.embedding, over ? y : conv.residual}, {y}, isa, threads};
      const auto kernel = threads < 3 ? make_conv2d(problem) : repacked(make_conv2d, problem, conv.weight);
      for (int again = over ? 1 : 0; again < 2; ++again) run_all(*kernel, threads);
      std::vector<float> got;
      Operands::each(y.value->shape, [&](const auto& at) { got.push_back(Operands::element(y, at)); });
      for (std::size_t i = 0; i < got.size(); ++i) {
        const double error = std::abs(static_cast<double>(got[i]) - conv.expected[i]);
        if (!(error <= 1e-6 * conv.magnitude[i])) {
          std::fprintf(stderr, "%s %s, %d threads: %zd: got %g, expected %g\n", name_of(isa), kernel->choice().c_str(),
                       threads, i, static_cast<double>(got[i]), conv.expected[i]);
          CHECK(false);
        }
      }
      if (first.empty()) first = got;
      CHECK(std::memcmp(first.data(), got.data(), got.size() * sizeof(float)) == 0);
    }
  }
}

void check_random() {
  Operands operands(7);
  int done = 0;
  while (done < 150) {
    const bool pointwise = operands.below(5) == 0, plain = operands.below(2) == 0;
    Case c;
    c.batch = operands.pick({1, 1, 2, 3});
    c.groups = operands.pick({1, 1, 1, 2, 3});
    c.channels = c.groups * operands.pick({1, 3, 4, 5, 12, 17, 48});
    c.outputs = c.groups * operands.pick({1, 3, 5, 8, 12, 17, 24, 33, 50});
    if (operands.below(8) == 0) c.groups = c.channels = c.outputs = operands.pick({1, 5, 8, 19, 32});
    c.height = operands.pick({1, 2, 3, 4, 5, 8, 9});
    c.width = operands.pick({1, 2, 3, 4, 5, 8, 9});
    c.kernel_y = plain ? 3 : pointwise ? 1 : 1 + operands.below(7);
    c.kernel_x = plain ? 3 : pointwise ? 1 : 1 + operands.below(7);
    c.stride = {1, 1}, c.dilation = {1, 1}, c.padding = {1, 1, 1, 1};
    if (!plain) {
      c.stride = {1 + operands.below(3), 1 + operands.below(3)};
      c.dilation = {1 + operands.below(2), 1 + operands.below(2)};
      c.padding = {operands.below(4), operands.below(4), operands.below(4), operands.below(4)};
    }
    c.upsample = 1 + operands.below(2);
    c.activation = operands.pick<std::string>({"", "", "silu", "relu", "gelu", "gelu_tanh", "sigmoid", "tanh"});
    c.scale = operands.pick({1.0, 1.0, 0.5});
    if (extent(c.height * c.upsample, c.padding[0], c.padding[2], c.kernel_y, c.dilation[0], 1) < 1) continue;
    if (extent(c.width * c.upsample, c.padding[1], c.padding[3], c.kernel_x, c.dilation[1], 1) < 1) continue;
    check(operands, c, operands.below(4) != 0, operands.below(2) == 0);
    ++done;
  }
}

// Transformed weights that no cache has room for: all tiles are transformed before one is multiplied.
void check_many_channels() {
  Operands operands(8);
  for (const bool in_place : {false, true}) {
    Case c;
    c.batch = 1, c.channels = 128, c.outputs = 130, c.height = 5, c.width = 4, c.kernel_y = 3, c.kernel_x = 3;
    c.groups = 1, c.upsample = 1, c.scale = 1;
    c.stride = {1, 1}, c.dilation = {1, 1}, c.padding = {1, 1, 1, 1};
    check(operands, c, true, in_place);
  }
}

}  // namespace
}  // namespace fewstep::cpu

int main() {
  fewstep::cpu::check_random();
  fewstep::cpu::check_many_channels();
}

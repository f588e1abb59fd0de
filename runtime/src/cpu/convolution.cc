#include "cpu/convolution.h"

#include <string>

#include "cpu/gemm.h"

namespace fewstep::cpu {
namespace {

std::int64_t integer(const Problem& problem, const char* name) {
  return std::get<std::int64_t>(problem.op.attributes.at(name));
}

const std::vector<std::int64_t>& integers(const Problem& problem, const char* name) {
  return std::get<std::vector<std::int64_t>>(problem.op.attributes.at(name));
}

}  // namespace

Convolution::Convolution(const Problem& of)
    : problem(of), gemm(gemm_of(of.isa)), x(of.inputs[0]), weight(of.inputs[1]) {
  const std::vector<std::int64_t>&from = x.value->shape, &to = problem.outputs[0].value->shape;
  batch = from[0], channels = from[1], height = from[2], width = from[3];
  outputs = to[1], rows = to[2], columns = to[3];
  kernel_y = weight.value->shape[2], kernel_x = weight.value->shape[3];
  stride_y = integers(problem, "stride")[0], stride_x = integers(problem, "stride")[1];
  dilation_y = integers(problem, "dilation")[0], dilation_x = integers(problem, "dilation")[1];
  top = integers(problem, "padding")[0], left = integers(problem, "padding")[1];
  groups = integer(problem, "groups");
  upsample = integer(problem, "upsample");
}

Grid Convolution::input() const noexcept {
  const std::vector<std::int64_t>& strides = x.value->strides;
  return {batch,
          strides[0],
          {rows, strides[2], kernel_y, stride_y, dilation_y, top, height * upsample, upsample},
          {columns, strides[3], kernel_x, stride_x, dilation_x, left, width * upsample, upsample}};
}

Grid Convolution::output(const Value& value) const noexcept {
  return {batch,
          value.strides[0],
          {.count = rows, .stride = value.strides[2]},
          {.count = columns, .stride = value.strides[3]}};
}

std::int64_t Convolution::padding_floats() const noexcept { return (channels - 1) * x.value->strides[1] + 1; }

void Convolution::finish(Epilogue& epilogue, const std::vector<std::int64_t>& sheets,
                         Grid (*grid)(const Convolution&, const Value&), std::int64_t block_rows,
                         std::int64_t block_columns) const {
  const auto side = [&](const Operand& operand, std::int64_t step, const Grid& over) {
    Side out{Rows(operand, over, nullptr, block_rows, problem.threads), step, sheets};
    for (std::int64_t& sheet : out.sheets) sheet *= step;
    return out;
  };
  const Operand &bias = problem.inputs[2], &embedding = problem.inputs[3], &residual = problem.inputs[4];
  const Operand& y = problem.outputs[0];
  if (embedding) {
    Grid over = grid(*this, *y.value);
    over.batch_stride = embedding.value->strides[0];
    over.y.stride = over.x.stride = 0;
    over.y.taps = over.x.taps = 1;
    epilogue.embedding = side(embedding, embedding.value->strides[1], over);
  }
  if (residual) epilogue.inner = side(residual, residual.value->strides[1], grid(*this, *residual.value));
  epilogue.y = side(y, y.value->strides[1], grid(*this, *y.value));
  epilogue.bias = bias;
  if (bias && sheets.size() > 1) epilogue.bias_sheet = sheets[1] * bias.value->strides[0];
  epilogue.factor = static_cast<float>(std::get<double>(problem.op.attributes.at("scale")));
  epilogue.activation = activation_of(std::get<std::string>(problem.op.attributes.at("activation")));
  epilogue.prepare(block_rows, block_columns, problem.threads);
}

}  // namespace fewstep::cpu

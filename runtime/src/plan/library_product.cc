#include "plan/library_product.h"

#include <limits>

#include "matrix.h"
#include "plan/uses.h"

namespace fewstep {
namespace {

constexpr std::int64_t kMost32 = std::numeric_limits<std::int32_t>::max();

const Value& value_of(const Plan& plan, std::int32_t index) { return plan.values[static_cast<std::size_t>(index)]; }

std::int32_t input(const Op& op, std::size_t index) { return index < op.inputs.size() ? op.inputs[index] : -1; }

void check_op(const Place& place, const Op& op, const LibraryProduct& product) {
  if (op.kind != "matmul") place.fail("a library's product is of a matmul alone");
  if (!std::get<std::string>(op.attributes.at("glu")).empty() || input(op, 3) >= 0 || input(op, 4) >= 0) {
    place.fail("expected a matmul without glu, gate and residual");
  }
  if (product.a != op.inputs[0] || product.b != op.inputs[1] || product.bias != input(op, 2) ||
      product.y != op.outputs[0]) {
    place.fail("expected the operation's own a, b, bias and y");
  }
  if (product.scale != std::get<double>(op.attributes.at("scale")) ||
      product.activation != std::get<std::string>(op.attributes.at("activation"))) {
    place.fail("expected the operation's own scale and activation");
  }
  if (!product.activation.empty() && product.activation != "gelu_tanh") {
    Place(place, "activation").fail("expected \"\" or \"gelu_tanh\"");
  }
}

Matrix check_matrix(const Place& place, const Value& value) {
  const std::optional<Matrix> matrix = matrix_of(value);
  if (!matrix) place.fail("expected rows or columns with steps of 1, and one distance between matrices");
  for (const std::int64_t size : {matrix->rows, matrix->columns, matrix->batch}) {
    if (size > kMost32) place.fail("expected at most 2147483647 rows, columns and matrices");
  }
  return *matrix;
}

void check_operands(const Place& place, const Plan& plan, const LibraryProduct& product) {
  const Value &a = value_of(plan, product.a), &b = value_of(plan, product.b), &y = value_of(plan, product.y);
  check_matrix(Place(place, "a"), a);
  check_matrix(Place(place, "b"), b);
  const Place of_y(place, "y");
  if (!check_matrix(of_y, y).is_row_major) of_y.fail("expected rows with steps of 1");
  if (a.dtype != b.dtype) place.fail("expected a and b of one type");
  if (y.dtype != a.dtype && y.dtype != Dtype::f32) of_y.fail("expected the type of a, or f32");
  if (product.bias < 0) return;
  const Value& bias = value_of(plan, product.bias);
  const Place of_bias(place, "bias");
  if (bias.dtype != y.dtype) of_bias.fail("expected the type of y");
  if (bias.shape[0] > 1 && bias.strides[0] != 1) of_bias.fail("expected steps of 1");
  if (bias.row != 0 || bias.step != 0) of_bias.fail("its value moves");
}

void check_workspace(const Place& place, const Value& value, const std::vector<bool>& named) {
  if (value.buffer < 0 || value.dtype != Dtype::u8 || value.shape.size() != 1 ||
      (value.shape[0] > 1 && value.strides[0] != 1) || value.row != 0 || value.step != 0) {
    place.fail("expected contiguous bytes of a buffer");
  }
  if (value.shape[0] > kMostWorkspace) {
    place.fail("expected at most " + std::to_string(kMostWorkspace) + " bytes, got " + std::to_string(value.shape[0]));
  }
  if (named[static_cast<std::size_t>(value.buffer)]) place.fail("expected a buffer of its own");
}

}  // namespace

std::vector<bool> named_buffers(const Plan& plan) {
  std::vector<bool> named(plan.buffers.size());
  const auto name = [&](std::int32_t buffer) {
    if (buffer >= 0) named[static_cast<std::size_t>(buffer)] = true;
  };
  for (const std::int32_t buffer : schedule_buffers(plan)) name(buffer);
  for (const auto* interface : {&plan.inputs, &plan.outputs}) {
    for (const auto& [key, value] : *interface) name(buffer_of(plan, value));
  }
  for (const Stage& stage : plan.stages) {
    for (const Op& op : stage.ops) {
      for (const auto* operands : {&op.inputs, &op.outputs}) {
        for (const std::int32_t value : *operands) name(buffer_of(plan, value));
      }
    }
  }
  return named;
}

void check_library_product(const Place& place, const Plan& plan, const Op& op, const LibraryProduct& product,
                           const std::vector<bool>& named) {
  check_op(place, op, product);
  check_operands(place, plan, product);
  if (product.workspace >= 0) check_workspace(Place(place, "workspace"), value_of(plan, product.workspace), named);
}

}  // namespace fewstep

#include "plan/op_operands.h"

#include <algorithm>

#include "plan/op_table.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

std::string shown(const Shape& shape) {
  std::string out = "(";
  for (const std::int64_t size : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(size);
  return out + ")";
}

const Value* value_at(const Plan& plan, const std::vector<std::int32_t>& list, std::size_t index) noexcept {
  if (index >= list.size() || list[index] < 0) return nullptr;
  return &plan.values[static_cast<std::size_t>(list[index])];
}

}  // namespace

const Value* Operands::input(std::size_t index) const noexcept { return value_at(plan_, op_.inputs, index); }
const Value* Operands::output(std::size_t index) const noexcept { return value_at(plan_, op_.outputs, index); }

void Operands::expect(bool condition, const char* what) const {
  if (!condition) fail(std::string("expected ") + what);
}

void Operands::expect_rank(const char* name, const Value* value, std::size_t fewest, std::size_t most) const {
  if (value == nullptr || (value->shape.size() >= fewest && value->shape.size() <= most)) return;
  fail(std::string(name) + ": expected " + std::to_string(fewest) +
       (most > fewest ? " to " + std::to_string(most) : std::string()) + " axes, got " + shown(value->shape));
}

void Operands::expect_shape(const char* name, const Value* value, const Shape& shape) const {
  if (value == nullptr || value->shape == shape) return;
  fail(std::string(name) + ": expected shape " + shown(shape) + ", got " + shown(value->shape));
}

void Operands::expect_type(const char* name, const Value* value, std::initializer_list<Dtype> types) const {
  if (value == nullptr || std::find(types.begin(), types.end(), value->dtype) != types.end()) return;
  fail(std::string(name) + ": its type is not one that the operation takes there");
}

void Operands::expect_float(const char* name, const Value* value) const {
  expect_type(name, value, {Dtype::f32, Dtype::f16, Dtype::bf16});
}

void Operands::expect_activation() const {
  if (!is_activation(text("activation"))) fail("unknown activation " + in_quotes(text("activation")));
}

}  // namespace fewstep

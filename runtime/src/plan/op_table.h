#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace fewstep {

enum class AttributeType { integer, real, text, integers, code };

struct AttributeRow {
  std::string_view name;
  AttributeType type;
};

// A row of the table of operations in docs/plan.md: how many operands it may have, and the attributes it must have.
struct OpRow {
  std::string_view kind;
  std::size_t fewest_inputs, most_inputs, fewest_outputs, most_outputs;
  std::span<const AttributeRow> attributes;
};

// Null if there is no such operation.
const OpRow* find_op(std::string_view kind) noexcept;

// How many operands an instruction of a map takes, or -1 if there is none of that name. "const" takes none.
int instruction_operands(std::string_view name) noexcept;

bool is_activation(std::string_view name) noexcept;

}  // namespace fewstep

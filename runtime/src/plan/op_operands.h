#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "fewstep/plan.h"
#include "plan/fields.h"

namespace fewstep {

using Shape = std::vector<std::int64_t>;

// An op's operands and attributes while it is checked: an input that is left out is null, and passes every test.
class Operands {
 public:
  Operands(const Place& place, const Plan& plan, const Op& op) : place_(place), plan_(plan), op_(op) {}

  const Value* input(std::size_t index) const noexcept;
  const Value* output(std::size_t index) const noexcept;
  std::int64_t integer(const char* name) const { return std::get<std::int64_t>(op_.attributes.at(name)); }
  double real(const char* name) const { return std::get<double>(op_.attributes.at(name)); }
  const std::string& text(const char* name) const { return std::get<std::string>(op_.attributes.at(name)); }
  const Shape& integers(const char* name) const { return std::get<Shape>(op_.attributes.at(name)); }

  [[noreturn]] void fail(const std::string& what) const { place_.fail(what); }
  void expect(bool condition, const char* what) const;
  void expect_rank(const char* name, const Value* value, std::size_t fewest, std::size_t most) const;
  void expect_shape(const char* name, const Value* value, const Shape& shape) const;
  void expect_type(const char* name, const Value* value, std::initializer_list<Dtype> types) const;
  void expect_float(const char* name, const Value* value) const;
  void expect_activation() const;

 private:
  const Place& place_;
  const Plan& plan_;
  const Op& op_;
};

// That they fit their op's row of the table.
void check_shapes(const Op& op, const Operands& operands);

}  // namespace fewstep

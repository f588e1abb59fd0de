#include "cpu/map_code.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <string_view>

namespace fewstep::cpu {
namespace {

constexpr std::array<std::string_view, 35> kNames{
    "neg",  "abs",  "sqrt", "rsqrt",     "reciprocal", "exp",     "log",   "sin",  "cos", "tanh", "erf",  "sigmoid",
    "silu", "relu", "gelu", "gelu_tanh", "floor",      "ceil",    "round", "sign", "not", "add",  "sub",  "mul",
    "div",  "pow",  "min",  "max",       "less",       "greater", "equal", "and",  "or",  "mod",  "where"};

struct Node {
  Operator op;
  std::vector<std::int32_t> operands;  // registers
  bool is_constant = false, is_dead = false;
  float constant = 0;
};

Operator operator_of(const std::string& name) {
  const auto* found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) throw std::invalid_argument("map: there is no operator " + name);
  return static_cast<Operator>(found - kNames.begin());
}

class Compiler {
 public:
  Compiler(const std::vector<Instruction>& code, std::int32_t inputs) : inputs_(inputs) {
    for (const Instruction& line : code) {
      if (line.name == "const") {
        nodes_.push_back({Operator::count, {}, true, false, static_cast<float>(line.constant)});
      } else {
        nodes_.push_back({operator_of(line.name), line.operands, false, false, 0});
      }
    }
  }

  MapCode compile(Isa isa) {
    merge();
    drop_unread();
    MapCode code;
    std::vector<std::int32_t> place(static_cast<std::size_t>(registers()));
    for (std::int32_t i = 0; i < inputs_; ++i) place[static_cast<std::size_t>(i)] = i;
    for (std::size_t k = 0; k < nodes_.size(); ++k) {
      if (!nodes_[k].is_constant || nodes_[k].is_dead) continue;
      place[static_cast<std::size_t>(inputs_) + k] = inputs_ + static_cast<std::int32_t>(code.constants.size());
      code.constants.push_back(nodes_[k].constant);
    }
    assign_slots(code, place, isa);
    code.result = place.back();
    return code;
  }

 private:
  std::int32_t registers() const { return inputs_ + static_cast<std::int32_t>(nodes_.size()); }

  Node* node(std::int32_t r) { return r < inputs_ ? nullptr : &nodes_[static_cast<std::size_t>(r - inputs_)]; }

  std::vector<std::int32_t> uses() const {
    std::vector<std::int32_t> count(static_cast<std::size_t>(registers()));
    for (const Node& n : nodes_) {
      if (n.is_dead) continue;
      for (const std::int32_t r : n.operands) ++count[static_cast<std::size_t>(r)];
    }
    ++count.back();
    return count;
  }

  // x y + z and silu(x + y) in one pass each, x sigmoid(x) as silu, where nothing else reads what lies between.
  void merge() {
    std::vector<std::int32_t> count = uses();
    for (Node& n : nodes_) {
      if (n.is_constant) continue;
      const auto single = [&](std::int32_t r, Operator op) -> Node* {
        Node* made = node(r);
        const bool fits = made != nullptr && !made->is_constant && !made->is_dead && made->op == op;
        return fits && count[static_cast<std::size_t>(r)] == 1 ? made : nullptr;
      };
      if (n.op == Operator::mul) {
        for (const std::size_t side : {0, 1}) {
          Node* gate = single(n.operands[side], Operator::sigmoid);
          if (gate == nullptr || gate->operands[0] != n.operands[1 - side]) continue;
          n = {Operator::silu, gate->operands, false, false, 0};
          gate->is_dead = true;
          --count[static_cast<std::size_t>(n.operands[0])];
          break;
        }
      } else if (n.op == Operator::add) {
        for (const std::size_t side : {0, 1}) {
          Node* product = single(n.operands[side], Operator::mul);
          if (product == nullptr) continue;
          n = {Operator::multiply_add,
               {product->operands[0], product->operands[1], n.operands[1 - side]},
               false,
               false,
               0};
          product->is_dead = true;
          break;
        }
      }
      if (n.op == Operator::silu) {
        if (Node* sum = single(n.operands[0], Operator::add)) {
          n = {Operator::add_silu, sum->operands, false, false, 0};
          sum->is_dead = true;
        }
      }
    }
  }

  void drop_unread() {
    for (std::size_t k = nodes_.size(); k-- > 0;) {
      if (uses()[static_cast<std::size_t>(inputs_) + k] == 0) nodes_[k].is_dead = true;
    }
  }

  void assign_slots(MapCode& code, std::vector<std::int32_t>& place, Isa isa) {
    std::vector<std::int32_t> left = uses(), free;
    const std::int32_t first = inputs_ + static_cast<std::int32_t>(code.constants.size());
    for (std::size_t k = 0; k < nodes_.size(); ++k) {
      const Node& n = nodes_[k];
      if (n.is_constant || n.is_dead) continue;
      const auto at = [&](std::size_t i) {
        return place[static_cast<std::size_t>(n.operands[std::min(i, n.operands.size() - 1)])];
      };
      const std::int32_t a = at(0), b = at(1), c = at(2);
      for (const std::int32_t r : n.operands) {
        const auto index = static_cast<std::size_t>(r);
        if (--left[index] == 0 && place[index] >= first) free.push_back(place[index]);
      }
      if (free.empty()) free.push_back(first + code.slots++);
      const std::int32_t y = free.back();
      free.pop_back();
      place[static_cast<std::size_t>(inputs_) + k] = y;
      code.lines.push_back(
          {elementwise(isa, n.op), a, n.operands.size() > 1 ? b : a, n.operands.size() > 2 ? c : a, y});
    }
  }

  std::int32_t inputs_;
  std::vector<Node> nodes_;
};

}  // namespace

MapCode compile(const std::vector<Instruction>& code, std::int32_t inputs, Isa isa) {
  return Compiler(code, inputs).compile(isa);
}

}  // namespace fewstep::cpu

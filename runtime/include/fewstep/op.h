#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "fewstep/launch.h"

namespace fewstep {

// One line of a map's code: a constant, or an operator and the registers it reads.
struct Instruction {
  std::string name;
  double constant = 0;
  std::vector<std::int32_t> operands;
};

using Attribute = std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<Instruction>>;

struct Op {
  std::string kind, name;                     // name: of the node it came from
  std::vector<std::int32_t> inputs, outputs;  // of Plan::values; -1 where one is left out
  std::map<std::string, Attribute> attributes;
  std::vector<Launch> launches;
};

struct Stage {
  std::string name;
  std::int64_t steps = 0;
  std::vector<Op> ops;
};

}  // namespace fewstep

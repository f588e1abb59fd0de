#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace fewstep {

// One line of a map's code: a constant, or an operator and the registers it reads.
struct Instruction {
  std::string name;
  double constant = 0;
  std::vector<std::int32_t> operands;
};

using Attribute = std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<Instruction>>;

struct TensorMap {
  std::int64_t elem_type = 0, elem_size = 0, swizzle = 0;
  std::vector<std::int64_t> shape, strides, box;
  bool nan_padding = false;
};

// kind: ptr, scratch, tensormap (bound to `value`, or null if it is -1), step, or a scalar's i1 to u64, fp16 to fp64.
struct Param {
  std::string kind;
  std::int32_t value = -1;
  std::int64_t integer = 0;
  double real = 0;
  TensorMap tensormap;
};

struct Launch {
  std::int32_t image = -1;  // of Plan::weights
  bool is_ptx = false;      // which the driver compiles; else a cubin
  std::string entry;
  std::int64_t architecture = 0, threads = 0, shared = 0, cluster = 1;
  std::array<std::int64_t, 3> grid{};
  std::vector<Param> params;
};

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

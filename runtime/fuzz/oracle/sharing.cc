#include <algorithm>
#include <string_view>

#include "oracle/addresses.h"
#include "oracle/oracle.h"

namespace oracle {
namespace {

using fewstep::Op;
using fewstep::Plan;
using fewstep::Value;

struct InPlace {
  std::string_view kind;
  std::size_t output, input;
};
constexpr InPlace kInPlace[] = {{"conv2d", 0, 4},       {"matmul", 0, 4},      {"group_norm", 0, 0},
                                {"group_norm", 1, 0},   {"group_norm", 0, 5},  {"group_norm", 1, 5},
                                {"layer_norm", 0, 0},   {"rms_norm", 0, 0},    {"softmax", 0, 0},
                                {"sampler_step", 0, 0}, {"sampler_step", 3, 5}};

bool is_in_place(const Op& op, std::size_t output, std::size_t input) {
  return op.kind == "map" || std::any_of(std::begin(kInPlace), std::end(kInPlace), [&](const InPlace& row) {
           return row.kind == op.kind && row.output == output && row.input == input;
         });
}

bool is_one_view(const Value& a, const Value& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.strides == b.strides && a.offset == b.offset && a.row == b.row &&
         a.step == b.step;
}

// Of sorted addresses, each of an item of so many bytes.
bool share(const std::vector<std::int64_t>& a, std::int64_t bytes_a, const std::vector<std::int64_t>& b,
           std::int64_t bytes_b) {
  for (std::size_t i = 0, k = 0; i < a.size() && k < b.size();) {
    if (a[i] + bytes_a <= b[k]) {
      ++i;
    } else if (b[k] + bytes_b <= a[i]) {
      ++k;
    } else {
      return true;
    }
  }
  return false;
}

bool share(const Value& a, const Value& b, Moment moment) {
  if (a.buffer < 0 || a.buffer != b.buffer) return false;
  return share(addresses(a, moment), static_cast<std::int64_t>(bytes_of(a.dtype)), addresses(b, moment),
               static_cast<std::int64_t>(bytes_of(b.dtype)));
}

void check_op(const Plan& plan, const Op& op, Moment moment) {
  for (std::size_t i = 0; i < op.outputs.size(); ++i) {
    const Value& output = value_of(plan, op.outputs[i]);
    require(output.buffer >= 0);
    const std::vector<std::int64_t> own = addresses(output, moment);
    for (std::size_t k = 1; k < own.size(); ++k) {
      require(own[k] - own[k - 1] >= static_cast<std::int64_t>(bytes_of(output.dtype)));
    }
    for (std::size_t k = 0; k < i; ++k) require(!share(output, value_of(plan, op.outputs[k]), moment));
    for (std::size_t k = 0; k < op.inputs.size(); ++k) {
      if (op.inputs[k] < 0) continue;
      const Value& input = value_of(plan, op.inputs[k]);
      if (is_in_place(op, i, k) && is_one_view(output, input)) continue;
      require(!share(output, input, moment));
    }
  }
}

}  // namespace

void check_sharing(const Plan& plan) {
  const std::vector<Moment> all = moments(plan);
  for (const fewstep::Stage& stage : plan.stages) {
    for (const Op& op : stage.ops) {
      for (const Moment moment : all) check_op(plan, op, moment);
    }
  }
}

}  // namespace oracle

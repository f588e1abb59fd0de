#include "plan/op_table.h"

#include <algorithm>
#include <array>

namespace fewstep {
namespace {

using enum AttributeType;

constexpr std::array kMap{AttributeRow{"code", code}};
constexpr std::array kConv2d{AttributeRow{"stride", integers},   AttributeRow{"padding", integers},
                             AttributeRow{"dilation", integers}, AttributeRow{"groups", integer},
                             AttributeRow{"activation", text},   AttributeRow{"scale", real},
                             AttributeRow{"upsample", integer}};
constexpr std::array kMatmul{AttributeRow{"activation", text}, AttributeRow{"scale", real}, AttributeRow{"glu", text}};
constexpr std::array kGroupNorm{AttributeRow{"groups", integer}, AttributeRow{"eps", real},
                                AttributeRow{"activation", text}};
constexpr std::array kNorm{AttributeRow{"eps", real}};
constexpr std::array kAttention{AttributeRow{"scale", real}, AttributeRow{"causal", integer}};
constexpr std::array kReduce{AttributeRow{"kind", text}, AttributeRow{"axes", integer}};
constexpr std::array kToUint8{AttributeRow{"scale", real}, AttributeRow{"shift", real}};

constexpr std::array kOps{
    OpRow{"map", 0, 16, 1, 1, kMap},
    OpRow{"conv2d", 2, 5, 1, 1, kConv2d},
    OpRow{"matmul", 2, 5, 1, 1, kMatmul},
    OpRow{"group_norm", 1, 6, 1, 2, kGroupNorm},
    OpRow{"layer_norm", 1, 5, 1, 1, kNorm},
    OpRow{"rms_norm", 1, 5, 1, 1, kNorm},
    OpRow{"attention", 3, 4, 1, 1, kAttention},
    OpRow{"softmax", 1, 1, 1, 1, {}},
    OpRow{"reduce", 1, 1, 1, 1, kReduce},
    OpRow{"gather", 2, 2, 1, 1, {}},
    OpRow{"initial_state", 2, 2, 2, 2, {}},
    OpRow{"sampler_step", 4, 8, 3, 4, {}},
    OpRow{"to_uint8", 1, 1, 1, 1, kToUint8},
};

constexpr std::array<std::string_view, 21> kUnary{"neg",  "abs",       "sqrt",  "rsqrt", "reciprocal", "exp",  "log",
                                                  "sin",  "cos",       "tanh",  "erf",   "sigmoid",    "silu", "relu",
                                                  "gelu", "gelu_tanh", "floor", "ceil",  "round",      "sign", "not"};
constexpr std::array<std::string_view, 13> kBinary{"add",  "sub",     "mul",   "div", "pow", "min", "max",
                                                   "less", "greater", "equal", "and", "or",  "mod"};

template <std::size_t N>
bool has(const std::array<std::string_view, N>& names, std::string_view name) noexcept {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

const OpRow* find_op(std::string_view kind) noexcept {
  const auto row = std::find_if(kOps.begin(), kOps.end(), [&](const OpRow& op) { return op.kind == kind; });
  return row == kOps.end() ? nullptr : &*row;
}

int instruction_operands(std::string_view name) noexcept {
  if (name == "const") return 0;
  if (has(kUnary, name)) return 1;
  if (has(kBinary, name)) return 2;
  return name == "where" ? 3 : -1;
}

bool is_activation(std::string_view name) noexcept {
  constexpr std::array<std::string_view, 7> kNames{"", "silu", "relu", "gelu", "gelu_tanh", "sigmoid", "tanh"};
  return has(kNames, name);
}

}  // namespace fewstep

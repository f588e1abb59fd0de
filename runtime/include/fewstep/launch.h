#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fewstep {

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

// y = activation(scale a b + bias) by cuBLASLt. All but the attributes are of Plan::values; -1 where one is left out.
struct LibraryProduct {
  std::int32_t a = -1, b = -1, bias = -1, y = -1, workspace = -1;
  double scale = 1;
  std::string activation = "";  // "" or gelu_tanh
};

struct Launch {
  std::int32_t image = -1;  // of Plan::weights
  bool is_ptx = false;      // which the driver compiles; else a cubin
  std::string entry;
  std::int64_t architecture = 0, threads = 0, shared = 0, cluster = 1;
  std::array<std::int64_t, 3> grid{};
  std::vector<Param> params;
  std::optional<LibraryProduct> product = std::nullopt;  // instead of a kernel: of the rest only `architecture` counts
};

}  // namespace fewstep

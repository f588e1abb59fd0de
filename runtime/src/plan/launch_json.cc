#include <algorithm>
#include <array>
#include <limits>

#include "plan/op_json.h"

namespace fewstep {
namespace {

constexpr std::size_t kMostParams = 512, kMostTensorRank = 5;
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMost32 = std::numeric_limits<std::int32_t>::max();

// Bytes of CUtensorMapDataType 0 to 9: u8 u16 u32 i32 u64 i64 f16 f32 f64 bf16.
constexpr std::array<std::int64_t, 10> kElementSizes{1, 2, 4, 4, 8, 8, 2, 4, 8, 2};

struct Scalar {
  std::string_view kind;
  std::int64_t low, high;  // of an integer
};
constexpr std::array kIntegers{Scalar{"i1", 0, 1},
                               Scalar{"u1", 0, 1},
                               Scalar{"i8", -128, 127},
                               Scalar{"u8", 0, 255},
                               Scalar{"i16", -32768, 32767},
                               Scalar{"u16", 0, 65535},
                               Scalar{"i32", -kMost32 - 1, kMost32},
                               Scalar{"u32", 0, 4294967295},
                               Scalar{"i64", -kMost - 1, kMost},
                               Scalar{"u64", 0, kMost}};
constexpr std::array<std::string_view, 4> kReals{"fp16", "bf16", "fp32", "fp64"};

TensorMap tensormap(Fields& fields) {
  const auto list = [&](std::string_view key, std::int64_t low) {
    return integers(Place(fields.place(), key), fields.take(key), 1, kMostTensorRank, low, kMost32);
  };
  TensorMap out;
  out.elem_type = fields.integer("elem_type", 0, static_cast<std::int64_t>(kElementSizes.size()) - 1);
  out.elem_size = kElementSizes[static_cast<std::size_t>(out.elem_type)];
  out.shape = list("shape", 1);
  out.strides = list("strides", 0);
  out.box = list("box", 1);
  out.swizzle = fields.integer("swizzle", 0, 3);
  out.nan_padding = boolean(Place(fields.place(), "nan_padding"), fields.take("nan_padding"));
  return out;
}

Param param(const Place& place, const Json& json, const Plan& plan) {
  Fields fields(place, json);
  Param out;
  out.kind = fields.text("kind", 16);
  const Place value(place, "value");
  if (out.kind == "ptr" || out.kind == "scratch") {
    out.value = read_index(value, fields.take("value"), plan, true);
  } else if (out.kind == "tensormap") {
    out.value = read_index(value, fields.take("value"), plan, false);
    out.tensormap = tensormap(fields);
  } else if (out.kind != "step") {
    bool is_known = false;
    for (const Scalar& scalar : kIntegers) {
      if (out.kind != scalar.kind) continue;
      out.integer = integer(value, fields.take("value"), scalar.low, scalar.high);
      is_known = true;
    }
    for (const std::string_view kind : kReals) {
      if (out.kind != kind) continue;
      out.real = real(value, fields.take("value"));
      is_known = true;
    }
    if (!is_known) place.fail("unknown kind of parameter");
  }
  fields.done();
  return out;
}

LibraryProduct product(Fields& fields, const Plan& plan) {
  const auto index = [&](std::string_view key, bool nullable) {
    return read_index(Place(fields.place(), key), fields.take(key), plan, nullable);
  };
  LibraryProduct out;
  out.a = index("a", false);
  out.b = index("b", false);
  out.bias = index("bias", true);
  out.y = index("y", false);
  out.workspace = index("workspace", true);
  out.scale = real(Place(fields.place(), "scale"), fields.take("scale"));
  out.activation = fields.text("activation", 16);
  return out;
}

}  // namespace

Launch read_launch(const Place& place, const Json& json, const Plan& plan) {
  Fields fields(place, json);
  Launch out;
  if (const Json* library = fields.take_if("library")) {
    const Place here(place, "library");
    if (text(here, *library, 16) != "cublaslt") here.fail("expected \"cublaslt\"");
    out.architecture = fields.integer("architecture", 0, 999);
    out.product = product(fields, plan);
    fields.done();
    return out;
  }
  const Json *cubin = fields.take_if("cubin"), *ptx = fields.take_if("ptx");
  if ((cubin == nullptr) == (ptx == nullptr)) place.fail("expected one of \"cubin\", \"ptx\" and \"library\"");
  out.is_ptx = ptx != nullptr;
  const Place image(place, out.is_ptx ? "ptx" : "cubin");
  out.image = find_weight(image, text(image, out.is_ptx ? *ptx : *cubin, kMostNode), plan);
  out.entry = fields.text("entry", kMostNode);
  out.architecture = fields.integer("architecture", 0, 999);
  const auto grid = integers(Place(place, "grid"), fields.take("grid"), 3, 3, 1, kMost32);
  std::copy(grid.begin(), grid.end(), out.grid.begin());
  out.threads = fields.integer("threads", 1, kMost32);
  out.shared = fields.integer("shared", 0, kMost32);
  out.cluster = fields.integer("cluster", 1, kMost32);
  const Json::Array& params = fields.array("params", kMostParams);
  const Place params_place(place, "params");
  for (std::size_t i = 0; i < params.size(); ++i) {
    out.params.push_back(param(Place(params_place, i), params[i], plan));
  }
  fields.done();
  return out;
}

}  // namespace fewstep

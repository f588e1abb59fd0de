#include "program.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fewstep/device.h"
#include "fewstep/program.h"

namespace nb = nanobind;
using namespace nb::literals;
using fewstep::Dtype;
using fewstep::Program;

using Array = nb::ndarray<nb::numpy>;
using Given = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
template <int rank>
using Rows = nb::ndarray<const float, nb::ndim<rank>, nb::c_contig, nb::device::cpu>;

namespace {

struct Named {
  Dtype dtype;
  const char* name;
  nb::dlpack::dtype type;
};
constexpr auto kFloat = static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float);
constexpr auto kBfloat = static_cast<std::uint8_t>(nb::dlpack::dtype_code::Bfloat);
constexpr auto kInt = static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int);
constexpr auto kUInt = static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt);
constexpr Named kDtypes[] = {{Dtype::f32, "float32", {kFloat, 32, 1}},    {Dtype::f16, "float16", {kFloat, 16, 1}},
                             {Dtype::bf16, "bfloat16", {kBfloat, 16, 1}}, {Dtype::i64, "int64", {kInt, 64, 1}},
                             {Dtype::i32, "int32", {kInt, 32, 1}},        {Dtype::u8, "uint8", {kUInt, 8, 1}}};

const Named& named(Dtype dtype) { return *std::ranges::find(kDtypes, dtype, &Named::dtype); }

void open(Program* self, const std::filesystem::path& path, const std::string& device, int threads, int index,
          const std::string& driver) {
  const nb::gil_scoped_release unlocked;
  auto plan = std::make_shared<const fewstep::Plan>(fewstep::open_plan(path));
  new (self) Program(plan, fewstep::make_device(plan, {device, {threads}, {index, driver}}));
}

using Signature = nb::typed<nb::dict, nb::str, nb::typed<nb::tuple, nb::str, nb::typed<nb::tuple, int, nb::ellipsis>>>;

Signature signature(const Program& self, const std::map<std::string, std::int32_t>& values) {
  nb::dict result;
  for (const auto& [name, index] : values) {
    const fewstep::Value& value = self.plan().values[static_cast<std::size_t>(index)];
    result[name.c_str()] = nb::make_tuple(named(value.dtype).name, nb::tuple(nb::cast(value.shape)));
  }
  return nb::borrow<Signature>(result);
}

Signature tensors(const Program& self) {
  nb::dict result;
  for (const std::int32_t index : self.plan().replaceable) {
    const fewstep::Weight& weight = self.plan().weights[static_cast<std::size_t>(index)];
    result[weight.name.c_str()] = nb::make_tuple(named(weight.dtype).name, nb::tuple(nb::cast(weight.shape)));
  }
  return nb::borrow<Signature>(result);
}

std::string text_of(nb::handle object) { return nb::cast<std::string>(nb::str(object)); }

// The bytes of an array that has the value's dtype and shape; `kept` holds what they lie in.
std::span<const std::byte> bytes_of(const std::string& name, nb::handle given, const fewstep::Value& value,
                                    std::vector<Given>& kept) {
  const Named& type = named(value.dtype);
  Given array;
  if (nb::ndarray_check(given) && nb::try_cast(given, array) && array.dtype() == type.type &&
      std::ranges::equal(value.shape, std::vector<std::int64_t>(array.shape_ptr(), array.shape_ptr() + array.ndim()))) {
    kept.push_back(array);
    return {static_cast<const std::byte*>(array.data()), array.nbytes()};
  }
  std::string got = text_of(given.type().attr("__name__"));
  if (nb::hasattr(given, "dtype") && nb::hasattr(given, "shape")) {
    got = text_of(given.attr("dtype")) + " " + text_of(given.attr("shape"));
  }
  throw std::invalid_argument("input \"" + name + "\" must be an array of " + type.name + " " +
                              text_of(nb::tuple(nb::cast(value.shape))) + ", got " + got);
}

Array array_of(const fewstep::Value& value, std::span<std::byte>& bytes) {
  std::vector<std::size_t> shape(value.shape.begin(), value.shape.end());
  std::size_t size = fewstep::bytes_of(value.dtype);
  for (const std::size_t extent : shape) size *= extent;
  auto data = std::make_unique_for_overwrite<std::byte[]>(size);
  bytes = {data.get(), size};
  const nb::capsule owner(data.get(), [](void* p) noexcept { delete[] static_cast<std::byte*>(p); });
  return Array(data.release(), shape.size(), shape.data(), owner, nullptr, named(value.dtype).type);
}

std::map<std::string, Array> run(Program& self, const nb::dict& inputs, std::int64_t steps,
                                 const std::optional<std::vector<std::string>>& outputs, std::int64_t first) {
  const fewstep::Plan& plan = self.plan();
  const auto value_of = [&](std::int32_t index) -> const fewstep::Value& {
    return plan.values[static_cast<std::size_t>(index)];
  };
  std::vector<Given> kept;
  fewstep::Inputs in;
  for (const auto [key, given] : inputs) {
    const std::string name = text_of(key);
    const auto found = plan.inputs.find(name);
    in.emplace(name, found == plan.inputs.end() ? std::span<const std::byte>()
                                                : bytes_of(name, given, value_of(found->second), kept));
  }
  std::map<std::string, Array> arrays;
  fewstep::Outputs out;
  const auto want = [&](const std::string& name) {
    const auto found = plan.outputs.find(name);
    std::span<std::byte> bytes;
    if (found != plan.outputs.end()) arrays.insert_or_assign(name, array_of(value_of(found->second), bytes));
    out.insert_or_assign(name, bytes);
  };
  if (outputs) {
    for (const std::string& name : *outputs) want(name);
  } else {
    for (const auto& [name, index] : plan.outputs) want(name);
  }
  {
    const nb::gil_scoped_release unlocked;
    self.run(steps, in, out, first);
  }
  return arrays;
}

void set_schedule(Program& self, const Rows<1>& tau, const Rows<2>& coefficients, const Rows<2>& scales) {
  const nb::gil_scoped_release unlocked;
  self.set_schedule({tau.data(), tau.size()}, {coefficients.data(), coefficients.size()},
                    {scales.data(), scales.size()});
}

using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void set_tensors(Program& self, const std::map<std::string, Bytes>& tensors) {
  fewstep::Inputs bytes;
  for (const auto& [name, data] : tensors) bytes.emplace(name, std::as_bytes(std::span(data.data(), data.size())));
  const nb::gil_scoped_release unlocked;
  self.set_tensors(bytes);
}

nb::bytes file(const Program& self, const std::string& name) {
  for (const fewstep::Weight& weight : self.plan().weights) {
    if (weight.name == name && weight.dtype == Dtype::u8) return nb::bytes(weight.bytes.data(), weight.bytes.size());
  }
  throw std::invalid_argument("the plan has no file named \"" + name + "\"");
}

std::vector<std::int64_t> counts(const Program& self) {
  std::vector<std::int64_t> result;
  if (!self.plan().schedule) return {1};
  for (const auto& [steps, row] : self.plan().schedule->counts) result.push_back(steps);
  return result;
}

}  // namespace

void bind_program(nb::module_& m) {
  nb::class_<Program>(m, "Program",
                      "A plan on a device, ready to run. Calls from several threads are served one after another.")
      .def("__init__", &open, "path"_a, nb::kw_only(), "device"_a = "auto", "threads"_a = 1, "index"_a = 0,
           "driver"_a = "libcuda.so.1",
           nb::sig("def __init__(self, path: str | os.PathLike[str], *, device: str = 'auto', threads: int = 1, "
                   "index: int = 0, driver: str = 'libcuda.so.1') -> None"),
           "Opens a plan, checks all of it and prepares its kernels. device: cpu, cuda, or auto, the one it was "
           "compiled "
           "for; threads are of a CPU, index and driver of a GPU.")
      .def_prop_ro(
          "metadata", [](const Program& self) { return self.plan().model; }, "What the plan says of its model: JSON.")
      .def_prop_ro(
          "certificate", [](const Program& self) { return self.plan().certificate; }, "JSON, or nothing.")
      .def_prop_ro(
          "adapters", [](const Program& self) { return self.plan().adapters ? self.plan().adapters->json : ""; },
          "What of it can be replaced, as docs/plan.md says: JSON, or nothing.")
      .def_prop_ro("tensors", &tensors, "Those of the adapters, which set_tensors replaces: name to dtype and shape.")
      .def_prop_ro("device", [](const Program& self) { return self.plan().device; })
      .def_prop_ro("precision", [](const Program& self) { return self.plan().precision; })
      .def_prop_ro(
          "batch", [](const Program& self) { return self.plan().batch; }, "Images of one run.")
      .def_prop_ro("counts", &counts, "The step counts of the schedule; of a network, 1.")
      .def_prop_ro(
          "inputs", [](const Program& self) { return signature(self, self.plan().inputs); }, "Name to dtype and shape.")
      .def_prop_ro(
          "outputs", [](const Program& self) { return signature(self, self.plan().outputs); },
          "Name to dtype and shape.")
      .def("file", &file, "name"_a, "What the plan carries along under this name, such as a tokenizer: its bytes.")
      .def("describe", &Program::describe, nb::call_guard<nb::gil_scoped_release>(),
           "The device, what it chose and what it counts: JSON.")
      .def(
          "run", &run,
          nb::sig("def run(self, inputs: dict[str, numpy.typing.NDArray[typing.Any]], steps: int = 1, outputs: "
                  "collections.abc.Sequence[str] | None = None, *, first: int = 0) -> dict[str, "
                  "numpy.typing.NDArray[typing.Any]]"),
          "inputs"_a, "steps"_a = 1, "outputs"_a = nb::none(), nb::kw_only(), "first"_a = 0,
          "Runs the plan: arrays of exactly the inputs' dtypes and shapes to those outputs that are asked for, or all. "
          "first: the step it begins with, of a plan that has the input \"state\".")
      .def("set_schedule", &set_schedule, "tau"_a.noconvert(), "coefficients"_a.noconvert(), "scales"_a.noconvert(),
           "Replaces the rows of the schedule: float32 tau (rows,), coefficients (rows, 9 or 11), scales (rows, 2).")
      .def("set_tensors", &set_tensors, "tensors"_a,
           "Replaces tensors of the adapters, each by its bytes: all of them, or none. Runs before see the old ones.");
}

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "bindings/program.h"
#include "cpu/isa.h"
#include "fewstep/noise.h"

namespace nb = nanobind;
using namespace nb::literals;

using Rows = nb::ndarray<nb::numpy, float, nb::ndim<2>>;

static Rows normal(const std::vector<std::uint64_t>& seeds, std::uint32_t step, std::size_t count,
                   std::uint64_t first) {
  if (!seeds.empty() && count > std::numeric_limits<std::size_t>::max() / sizeof(float) / seeds.size()) {
    throw std::bad_alloc();
  }
  auto data = std::make_unique_for_overwrite<float[]>(seeds.size() * count);
  {
    const nb::gil_scoped_release unlocked;
    fewstep::normal(seeds, step, first, {data.get(), seeds.size() * count});
  }
  const nb::capsule owner(data.get(), [](void* p) noexcept { delete[] static_cast<float*>(p); });
  return Rows(data.release(), {seeds.size(), count}, owner);
}

NB_MODULE(_runtime, m) {
  m.doc() = "The compiled runtime.";
  m.def("philox4x32_10", &fewstep::philox4x32_10, "counter"_a, "key"_a,
        "The four words that ten rounds of Philox 4x32 make of four counter words and two key words.");
  m.def(
      "normal", &normal, "seeds"_a, "step"_a, "count"_a, "first"_a = 0,
      "Elements first to first + count - 1 of each seed's unit normal stream at a step: float32 (len(seeds), count).");
  m.def(
      "isa", [] { return fewstep::cpu::name_of(fewstep::cpu::best_isa()); },
      "The instruction set that plans run with on this CPU.");
  bind_errors();
  bind_plan(m);
  bind_program(m);
}

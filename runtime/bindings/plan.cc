#include "fewstep/plan.h"

#include <nanobind/nanobind.h>

#include <cstddef>
#include <span>

#include "plan/container.h"
#include "program.h"

namespace nb = nanobind;
using namespace nb::literals;

static std::span<const std::byte> bytes_of(const nb::bytes& data) {
  return {static_cast<const std::byte*>(data.data()), data.size()};
}

void bind_plan(nb::module_& m) {
  m.def(
      "check_plan", [](const nb::bytes& data) { static_cast<void>(fewstep::parse_plan(bytes_of(data), nullptr)); },
      "data"_a, "Raises PlanError unless a file of these bytes is a plan that may be run.");
  m.def(
      "check_container", [](const nb::bytes& data) { static_cast<void>(fewstep::read_container(bytes_of(data))); },
      "data"_a, "Raises PlanError unless these bytes are a safetensors file as plans are.");
}

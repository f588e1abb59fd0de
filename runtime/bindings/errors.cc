#include <exception>

#include "fewstep/error.h"
#include "program.h"

namespace nb = nanobind;

static const char* name_of(fewstep::Fault fault) {
  switch (fault) {
    case fewstep::Fault::out_of_memory:
      return "out_of_memory";
    case fewstep::Fault::numerical:
      return "numerical";
    case fewstep::Fault::unavailable:
      return "unavailable";
    case fewstep::Fault::capture:
      return "capture";
    case fewstep::Fault::fatal:
      break;
  }
  return "fatal";
}

void bind_errors() {
  nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const fewstep::PlanError& error) {
      PyErr_SetString(nb::module_::import_("fewstep.errors").attr("PlanError").ptr(), error.what());
    } catch (const fewstep::DeviceError& error) {
      const nb::object type = nb::module_::import_("fewstep.errors").attr("DeviceError");
      PyErr_SetObject(type.ptr(), type(error.what(), name_of(error.fault())).ptr());
    }
  });
}

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "fewstep/error.h"
#include "fewstep/plan.h"
#include "oracle/oracle.h"

namespace {

std::optional<fewstep::Plan> read(std::span<const std::byte> file) {
  try {
    return fewstep::parse_plan(file, nullptr);
  } catch (const fewstep::PlanError&) {
    return std::nullopt;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto plan = read(std::as_bytes(std::span(data, size)));
  if (!plan) return 0;
  oracle::check_views(*plan);
  oracle::check_sharing(*plan);
  oracle::check_owners(*plan);
  oracle::check_launches(*plan);
  oracle::run_on_cpu(*plan);
  return 0;
}

#pragma once

#include <string>
#include <string_view>

#include "check.h"
#include "fewstep/error.h"

// The message of the PlanError that a call must throw.
template <typename F>
std::string refusal(F&& call) {
  try {
    call();
  } catch (const fewstep::PlanError& error) {
    return error.what();
  }
  CHECK(!"expected a PlanError");
  return "";
}

inline bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

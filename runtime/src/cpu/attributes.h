#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <variant>

#include "fewstep/op.h"

namespace fewstep::cpu {

// An attribute of an op. Throws std::invalid_argument where it is missing or of another type.
template <typename T>
const T& attribute(const Op& op, const std::string& name) {
  const auto found = op.attributes.find(name);
  const T* value = found == op.attributes.end() ? nullptr : std::get_if<T>(&found->second);
  if (value == nullptr) {
    throw std::invalid_argument(op.kind + " " + op.name + ": its attribute " + name + " is " +
                                (found == op.attributes.end() ? "missing" : "of another type"));
  }
  return *value;
}

// A number that may be written without a fraction.
inline double real_attribute(const Op& op, const std::string& name) {
  const auto found = op.attributes.find(name);
  if (found != op.attributes.end()) {
    if (const auto* whole = std::get_if<std::int64_t>(&found->second)) return static_cast<double>(*whole);
  }
  return attribute<double>(op, name);
}

}  // namespace fewstep::cpu

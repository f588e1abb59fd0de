#pragma once

#include <cstdio>
#include <string>

#include "check.h"
#include "fake_cuda/fake_cuda.h"
#include "fewstep/error.h"

// The driver saw nothing illegal and holds nothing.
inline void check_clean() {
  for (const std::string& violation : fake_cuda::violations()) std::fprintf(stderr, "%s\n", violation.c_str());
  CHECK(fake_cuda::violations().empty());
  CHECK(fake_cuda::live() == 0);
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// The message of the DeviceError of that class that a call must throw.
template <typename F>
std::string fault_of(fewstep::Fault fault, F&& call) {
  try {
    call();
  } catch (const fewstep::DeviceError& error) {
    if (error.fault() != fault) std::fprintf(stderr, "another class: %s\n", error.what());
    CHECK(error.fault() == fault);
    return error.what();
  }
  CHECK(!"expected a DeviceError");
  return "";
}

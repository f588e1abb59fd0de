#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "fewstep/plan.h"

namespace fewstep {

// A safetensors file: u64 little-endian length N, N bytes of JSON, then the tensors' bytes.
struct Container {
  std::map<std::string, std::string> metadata;
  std::vector<Weight> tensors;  // by rising offset; their bytes are the file's
};

// Stricter than the official library: what this accepts, it accepts. The tensors tile the file without hole or overlap
// and each is aligned to its items. Throws PlanError.
Container read_container(std::span<const std::byte> file);

}  // namespace fewstep

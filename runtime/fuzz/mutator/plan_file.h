#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fewstep/value.h"
#include "plan/json.h"

struct Tensor {
  std::string name;
  fewstep::Dtype dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};

// A plan's file taken apart, so that each part can be changed by itself.
struct PlanFile {
  fewstep::Json program;
  std::vector<Tensor> tensors;
};

// Nothing if it is no container, or its program no JSON.
std::optional<PlanFile> take_apart(std::span<const std::byte> file);

// A container of a program's text and tensors, with the header's length and every offset right.
std::string put_together(std::string_view program, const std::vector<Tensor>& tensors);

// Gives the program the tensors' digests.
void seal(PlanFile& file);

#include "cpu/make_kernel.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "fewstep/error.h"

namespace fewstep::cpu {
namespace {

struct Maker {
  std::string_view kind;
  std::size_t inputs, outputs;  // at most; a map has as many as it has
  std::unique_ptr<Kernel> (*make)(const Problem&);
};

constexpr std::array kMakers{
    Maker{"attention", 4, 1, make_attention},
    Maker{"conv2d", 5, 1, make_conv2d},
    Maker{"gather", 2, 1, make_gather},
    Maker{"group_norm", 6, 2, make_group_norm},
    Maker{"initial_state", 2, 2, make_initial_state},
    Maker{"layer_norm", 5, 1, make_layer_norm},
    Maker{"map", 0, 1, make_map},
    Maker{"matmul", 5, 1, make_matmul},
    Maker{"reduce", 1, 1, make_reduce},
    Maker{"rms_norm", 5, 1, make_layer_norm},
    Maker{"sampler_step", 8, 4, make_sampler_step},
    Maker{"softmax", 1, 1, make_softmax},
    Maker{"to_uint8", 1, 1, make_to_uint8},
};

}  // namespace

std::unique_ptr<Kernel> make_kernel(Problem& problem) {
  for (const Maker& maker : kMakers) {
    if (maker.kind != problem.op.kind) continue;
    problem.inputs.resize(std::max(problem.inputs.size(), maker.inputs));
    problem.outputs.resize(std::max(problem.outputs.size(), maker.outputs));
    return maker.make(problem);
  }
  throw PlanError("op " + problem.op.name + ": the CPU has no kernel for " + problem.op.kind);
}

}  // namespace fewstep::cpu

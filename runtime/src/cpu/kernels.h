#pragma once

#include <memory>
#include <vector>

#include "cpu/isa.h"
#include "cpu/kernel.h"
#include "fewstep/op.h"

namespace fewstep::cpu {

// An op of a checked plan, with its operands resolved: what a kernel is made from. It outlives the kernel.
struct Problem {
  const Op& op;
  std::vector<Operand> inputs, outputs;  // null operands where one is left out, up to the table's count
  Isa isa = Isa::portable;
  int threads = 1;
};

// One for each row of the table in docs/plan.md. They may measure, allocate and pack; they throw DeviceError.
std::unique_ptr<Kernel> make_map(const Problem& problem);
std::unique_ptr<Kernel> make_conv2d(const Problem& problem);
std::unique_ptr<Kernel> make_matmul(const Problem& problem);
std::unique_ptr<Kernel> make_group_norm(const Problem& problem);
std::unique_ptr<Kernel> make_layer_norm(const Problem& problem);  // and rms_norm
std::unique_ptr<Kernel> make_attention(const Problem& problem);
std::unique_ptr<Kernel> make_softmax(const Problem& problem);
std::unique_ptr<Kernel> make_reduce(const Problem& problem);
std::unique_ptr<Kernel> make_gather(const Problem& problem);
std::unique_ptr<Kernel> make_initial_state(const Problem& problem);
std::unique_ptr<Kernel> make_sampler_step(const Problem& problem);
std::unique_ptr<Kernel> make_to_uint8(const Problem& problem);

}  // namespace fewstep::cpu

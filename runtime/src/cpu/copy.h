#pragma once

#include <memory>

#include "cpu/kernel.h"

namespace fewstep::cpu {

// Copies a view exactly into another of its type and shape. Where the order of axes changes it goes block by block.
std::unique_ptr<Kernel> make_copy(const Operand& x, const Operand& y);

}  // namespace fewstep::cpu

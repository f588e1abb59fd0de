#pragma once

#include "fewstep/plan.h"

// What a plan that the reader accepts must be, found out in other ways than the reader's: slow, element by element
// where a plan is small. Each traps where it is not so.
namespace oracle {

void check_views(const fewstep::Plan& plan);  // every element of every view is in its block, whenever it moves
void check_sharing(
    const fewstep::Plan& plan);  // what an op writes is no other operand's byte but where docs/plan.md says
void check_owners(const fewstep::Plan& plan);    // what an op reads was written, and by nobody else since
void check_launches(const fewstep::Plan& plan);  // within the architecture's limits and as the kernel takes them

// Runs a small plan for a CPU with no room between its buffers that may be touched, under AddressSanitizer.
void run_on_cpu(const fewstep::Plan& plan);

}  // namespace oracle

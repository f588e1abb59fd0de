#pragma once

#include "fewstep/plan.h"

// Does with a plan's memory what running it may do, where AddressSanitizer sees it, and traps where a promise of
// docs/plan.md is broken. A plan that the reader accepts must pass.
//
// 1. Every buffer and weight is a block of its own; the first and last byte of every view is touched wherever it moves.
// 2. No two elements of an op's outputs are one address, and none is one of its inputs' but in the same view.
void walk(const fewstep::Plan& plan);

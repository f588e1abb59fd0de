#pragma once

#include "plan/program_json.h"

namespace fewstep {

// Throws PlanError where a plan breaks a rule of docs/plan.md, "Trust".
void check_plan(const Draft& draft);

// Its parts, in the order they run: each relies on those before it.
void check_views(const Plan& plan);      // buffers in the arena, views in their buffers and weights
void check_interface(const Plan& plan);  // stages, inputs, outputs, schedule
void check_ops(const Plan& plan);        // types and shapes of the table, what an output may share with an input
void check_reads(const Plan& plan);      // of buffers that were written before
void check_lifetimes(const Plan& plan);  // no two live buffers in one place
void check_adapters(const Plan& plan);   // tensors that may be replaced: their shapes, and that each has its own
void check_launches(const Plan& plan);   // limits of the architectures, the kernels' parameters
void check_weights(const Draft& draft);  // digests, NaN and Inf

}  // namespace fewstep

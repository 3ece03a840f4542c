// An op's first run, when it is prepared: a capture must not be the first to launch a kernel or to call a
// library, since both may load code then. Our kernels are only loaded (LaunchQueue::loads) and look at no
// memory; a library's passes do run, on scratch.
#pragma once

#include "kernels/cuda/carver.hpp"
#include "kernels/op.hpp"

namespace trainer::cuda {

// Arguments of training with everything that `op` may be given, cut from `memory`.
OpArgs first_arguments(const Op& op, bool wants_dx, Carver& memory);

// Forward in both modes, and backward.
void run_first(Op& op, OpArgs args);

}  // namespace trainer::cuda

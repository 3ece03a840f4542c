// Whether a GPU can be used, asked of the real runtime; the machine is looked at (gpu_surroundings.hpp) only
// once something failed. The texts are gpu_failure.hpp's.
#pragma once

namespace trainer::cuda {

// Throws BackendError "--device cuda:N: cause; next step" where this device cannot be used. Opens its
// context.
void require_device(int device);

}  // namespace trainer::cuda

// Whether a GPU can be used, asked of the real runtime and machine: the one place of the engine that looks at
// the environment, /dev, /proc and /sys, and only once something failed. The texts are gpu_failure.hpp's.
#pragma once

#include <memory>

#include "kernels/gpu_failure.hpp"

namespace trainer::cuda {

std::unique_ptr<GpuProbe> open_gpu_probe();

// Throws BackendError "--device cuda:N: cause; next step" where this device cannot be used. Opens its
// context.
void require_device(int device);

}  // namespace trainer::cuda

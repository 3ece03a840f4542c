// The portable engine on a GPU: the same bits as on every other GPU and CPU.
#pragma once

#include <memory>

#include "kernels/backend.hpp"

namespace trainer::cuda {

// Throws BackendError unless the device can be used and `precision` is fp32.
std::unique_ptr<Backend> make_portable_backend(int device, Precision precision);

}  // namespace trainer::cuda

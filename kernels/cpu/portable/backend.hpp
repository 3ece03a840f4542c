// The portable engine on a CPU: the same bits on every processor, with any number of threads.
#pragma once

#include <memory>

#include "kernels/backend.hpp"

namespace trainer::cpu {

struct PortableKernels;

// The engine with the best kernels for this processor. Throws BackendError unless `precision` is fp32.
std::unique_ptr<Backend> make_portable_backend(int threads, Precision precision);
// The same with other kernels of usable_portable_kernels() (kernels.hpp), for tests.
std::unique_ptr<Backend> make_portable_backend(int threads, const PortableKernels& kernels);

}  // namespace trainer::cpu

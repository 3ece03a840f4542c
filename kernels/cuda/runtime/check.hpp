// The CUDA engine's only kind of error message: what was asked for, the code's name and number, the library's own text,
// the place in this program.
//   cudaMalloc of 37.00 GiB for the activations: cudaErrorMemoryAllocation (2): out of memory
//   (cuda_backend.cpp:81)
#pragma once

#include <cuda_runtime.h>
#include <string_view>

#include "kernels/backend.hpp"

namespace trainer::cuda {

class CudaError : public BackendError {
 public:
  CudaError(std::string_view what, cudaError_t code, const char* file, int line);
};

// `what` names the call as a reader would look it up. `file` and `line` are the caller's; clang 14 has no
// std::source_location.
inline void check(cudaError_t code, std::string_view what, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  if (code != cudaSuccess) throw CudaError(what, code, file, line);
}

int device_attribute(cudaDeviceAttr which, int device);  // throws CudaError

}  // namespace trainer::cuda

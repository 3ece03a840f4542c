// The one way a kernel is launched, so that a build without a GPU can run the same kernels elsewhere. Grids
// and blocks have one dimension, and shared memory is declared in the kernel.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/check.hpp"

namespace trainer::cuda {

struct LaunchShape {
  unsigned blocks = 1;
  unsigned threads = 256;
  bool cooperative = false;  // all blocks at once, so that they can wait for one another
};

template <typename T>
struct Unchanged {
  using Type = T;
};

// Queues `kernel` on `stream` and returns. `name` is the kernel's, for the error.
template <typename... Parameters>
void launch(cudaStream_t stream, const LaunchShape& shape, std::string_view name,
            void (*kernel)(Parameters...), const typename Unchanged<Parameters>::Type&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.blocks);
  config.blockDim = dim3(shape.threads);
  config.stream = stream;
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  config.attrs = &cooperative;
  config.numAttrs = shape.cooperative ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, arguments...), name);
}

// Blocks of `threads` that cover `count` elements, at most `most`: the kernel strides over the rest.
inline LaunchShape cover(std::size_t count, unsigned threads, unsigned most) {
  const std::size_t blocks = (count + threads - 1) / threads;
  const auto bounded = static_cast<unsigned>(blocks < most ? blocks : most);
  return {bounded > 0 ? bounded : 1, threads};
}

}  // namespace trainer::cuda

// The only way to launch a kernel, so that a build without a GPU can run the same kernels elsewhere. Grids and blocks have
// one dimension, and shared memory is declared in the kernel.
#pragma once

#include <cuda_runtime.h>
#include <type_traits>

#include "kernels/cuda/runtime/check.hpp"

namespace trainer::cuda {

// Where launches go. While it `loads`, an op or the backend is being prepared, and a launch does everything except run
// the kernel (load_kernel()). A capture must not be the first to use a kernel, since drivers load its code at the first
// launch, and those before CUDA 12.3 cannot do this while a stream is captured.
struct LaunchQueue {
  cudaStream_t stream = nullptr;
  bool loads = false;
};

struct LaunchShape {
  unsigned blocks = 1;
  unsigned threads = 256;
  bool cooperative = false;  // all blocks run at once, so that they can wait for one another
};

// How many blocks of `kernel` fit on a multiprocessor at a time, according to the driver: a tool or a debug build may
// need more registers than the kernel's bounds say. Loads the kernel's code.
unsigned blocks_at_once(const void* kernel, unsigned threads, std::string_view name);
// Loads the code of `kernel`. Throws BackendError if the launch is cooperative and its blocks do not all fit at once.
void load_kernel(const void* kernel, const LaunchShape& shape, std::string_view name);

// Queues `kernel` and returns. `name` is the kernel's, for error messages.
template <typename... Parameters>
void launch(const LaunchQueue& queue, const LaunchShape& shape, std::string_view name,
            void (*kernel)(Parameters...), const std::type_identity_t<Parameters>&... arguments) {
  if (queue.loads) return load_kernel(reinterpret_cast<const void*>(kernel), shape, name);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.blocks);
  config.blockDim = dim3(shape.threads);
  config.stream = queue.stream;
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  config.attrs = &cooperative;
  config.numAttrs = shape.cooperative ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, arguments...), name);
}

// The number of blocks for `count` elements with `each` per block, at most `most`: the kernel strides over the rest.
inline unsigned blocks_for(std::size_t count, unsigned each, unsigned most) {
  const std::size_t blocks = (count + each - 1) / each;
  return blocks == 0 ? 1 : static_cast<unsigned>(blocks < most ? blocks : most);
}

// The same with one element for each thread.
inline LaunchShape cover(std::size_t count, unsigned threads, unsigned most) {
  return {blocks_for(count, threads, most), threads};
}

}  // namespace trainer::cuda

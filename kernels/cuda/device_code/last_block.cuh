// Adding up what several blocks have written, without a second kernel and without float atomics: each block
// writes its partial sums, then counts itself off; the one that comes last finds everybody's and adds them in
// a fixed order, so that the result has the same bits whichever block that is.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/device_code/jitter.cuh"

namespace trainer::cuda {

// True in all threads of the one of `blocks` blocks that gets here last. `ticket` is theirs alone, 0 before
// the kernel and again after it. What the others wrote before their call is read with __ldcg: not from this
// multiprocessor's own cache.
[[maybe_unused]] static __device__ bool is_last_block(unsigned* ticket, unsigned blocks) {
  __shared__ unsigned position;
  jitter();
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) position = atomicAdd(ticket, 1U);
  __syncthreads();
  if (position != blocks - 1) return false;
  if (threadIdx.x == 0) *ticket = 0;
  __threadfence();
  return true;
}

}  // namespace trainer::cuda

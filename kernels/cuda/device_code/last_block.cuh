// Adds up what several blocks have written, without a second kernel and without float atomics: each block writes its
// partial sums and increments an arrival counter; the last to arrive adds the sums of all blocks in a fixed order, so
// the result has the same bits whichever block that is.
#pragma once

#include <cuda_runtime.h>

namespace trainer::cuda {

// In a build that looks for races between blocks (-DTRAINER_JITTER=ON, the preset jitter) each block sleeps for a pseudo-random
// time of up to four microseconds before every barrier and every ticket, so that blocks arrive in orders that no scheduler would
// choose. Results must have the same bits as in a plain build, where this does nothing. The first thread sleeps; the others wait
// for it at the barrier that follows. The clock is hashed with the block's number (the finalizer of MurmurHash3).
__device__ inline void jitter() {
#ifdef TRAINER_JITTER
  if (threadIdx.x != 0) return;
  unsigned h = static_cast<unsigned>(clock64()) ^ blockIdx.x * 0x9E3779B9U;
  h = (h ^ h >> 16U) * 0x85EBCA6BU;
  h = (h ^ h >> 13U) * 0xC2B2AE35U;
  __nanosleep((h ^ h >> 16U) % 4096U);
#endif
}

// True in all threads of the last of `blocks` blocks to arrive. `ticket` is used by them only, and is 0 before the kernel and again
// after it. What the others wrote before their call must be read with __ldcg, which bypasses the L1 cache.
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

// Adding up what several blocks have written, without a second kernel and without float atomics: each block writes its
// partial sums and counts itself; the one that comes last finds the sums of all blocks and adds them in a fixed order, so
// that the result has the same bits whichever block that is.
#pragma once

#include <cuda_runtime.h>

namespace trainer::cuda {

// In a build that looks for races between blocks (-DTRAINER_JITTER=ON, the preset jitter) each block sleeps for up to
// four microseconds before every barrier and every ticket, never as long as the last time, so that blocks arrive in
// orders that no scheduler would choose. Results must have the bits of a plain build, where this does nothing. The
// first thread sleeps; the others wait for it at the barrier that follows. The clock is hashed with the block's number
// (the finalizer of MurmurHash3).
__device__ inline void jitter() {
#ifdef TRAINER_JITTER
  if (threadIdx.x != 0) return;
  unsigned h = static_cast<unsigned>(clock64()) ^ blockIdx.x * 0x9E3779B9U;
  h = (h ^ h >> 16U) * 0x85EBCA6BU;
  h = (h ^ h >> 13U) * 0xC2B2AE35U;
  __nanosleep((h ^ h >> 16U) % 4096U);
#endif
}

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

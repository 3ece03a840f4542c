// A build that looks for races between blocks (-DTRAINER_JITTER=ON, the preset jitter): each block sleeps for
// up to four microseconds before every barrier and every ticket, never as long as the last time, so that
// blocks come there in orders that no scheduler would choose. Results must have the bits of a plain build.
// Everywhere else it is nothing.
#pragma once

#include <cuda_runtime.h>

namespace trainer::cuda {

// The first thread sleeps; the others wait for it at the barrier that follows. The clock is hashed with the
// block's number (the finalizer of MurmurHash3).
__device__ inline void jitter() {
#ifdef TRAINER_JITTER
  if (threadIdx.x != 0) return;
  unsigned h = static_cast<unsigned>(clock64()) ^ blockIdx.x * 0x9E3779B9U;
  h = (h ^ h >> 16U) * 0x85EBCA6BU;
  h = (h ^ h >> 13U) * 0xC2B2AE35U;
  __nanosleep((h ^ h >> 16U) % 4096U);
#endif
}

}  // namespace trainer::cuda

// The barrier of a cooperative launch. It does what cooperative_groups' grid.sync() does, except
// for its loop: grid.sync() invalidates the multiprocessor's L1 cache at every poll (ld.acquire), even for a block that
// still works there. Here one thread polls (ld.relaxed), and a single fence follows.
//
// One word of memory (CudaContext::barrier) serves all kernels of a stream, whatever their number of blocks. Of n
// blocks the first adds 2^31 - (n - 1) and every other one adds 1: when the last has arrived, the top bit flips and the
// lower bits are 0 again. It cannot flip twice before a block has seen it, since that block too must reach the next
// barrier, and the next kernel starts after this one. A launch that is refused has run no block, and a kernel that
// fails takes the context with it, so no kernel ever finds a half-completed barrier.
//
// Why everything a block wrote is visible after the barrier, in terms of PTX's memory model: bar.sync orders a block's
// writes before its first thread's atom.release (causality order is transitive). The atoms are morally strong
// read-modify-writes of one word, so each is part of the release patterns of those before it. The poll that finds the
// bit flipped reads the last one's value, or a later one's; a strong read followed by a fence is an acquire pattern. So
// every release synchronizes with every fence, which bar.sync passes on to the block's other threads. The fence also
// invalidates the L1 cache. The compiler moves no load or store across asm ("memory") and barriers, and never uses
// ld.global.nc for data that the kernel itself writes.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/device_code/last_block.cuh"

namespace trainer::cuda {

// What a block adds when it arrives, and whether the bit has flipped since it read `before`.
__device__ inline unsigned arrival() {
  return blockIdx.x == 0 ? 0x80000000U - (gridDim.x - 1) : 1U;
}
__device__ inline bool has_opened(unsigned before, unsigned now) {
  return ((before ^ now) & 0x80000000U) != 0;
}

// All threads of all blocks call it; `barrier` is 0 before the first kernel that uses it.
#ifdef TRAINER_EMULATED_CUDA
// Blocks are fibers, which cannot poll: the emulator synchronises them, and the bit must have flipped by then.
[[maybe_unused]] static __device__ void wait_for_grid(unsigned* barrier,
                                                      emulator::Place place = {__builtin_FILE(),
                                                                               __builtin_LINE()}) {
  jitter();
  const unsigned before = threadIdx.x == 0 ? atomicAdd(barrier, arrival()) : 0;
  emulator::wait_for_block(emulator::BarrierKind::grid, "wait_for_grid", 0, place);
  if (threadIdx.x == 0 && !has_opened(before, *barrier)) emulator::trap("the grid's barrier is shut", place);
}
#else
[[maybe_unused]] static __device__ void wait_for_grid(unsigned* barrier) {
  jitter();
  __syncthreads();
  if (threadIdx.x == 0) {
    const std::size_t address = __cvta_generic_to_global(barrier);
    unsigned before, now;
    asm volatile("atom.add.release.gpu.global.u32 %0, [%1], %2;"
                 : "=r"(before)
                 : "l"(address), "r"(arrival())
                 : "memory");
    do {
      asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(address) : "memory");
    } while (!has_opened(before, now));
    asm volatile("fence.acq_rel.gpu;" ::: "memory");
  }
  __syncthreads();
}
#endif

}  // namespace trainer::cuda

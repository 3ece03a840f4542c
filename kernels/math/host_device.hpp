// HOST_DEVICE marks functions that both the CPU loops and the GPU kernels call. They are always inlined: the
// CPU loops are compiled once for each instruction set, and an out-of-line copy for one set must never be
// linked into another.
#pragma once

#if defined(__CUDACC__)
#define HOST_DEVICE __host__ __device__ __forceinline__
#else
#define HOST_DEVICE inline __attribute__((always_inline))
#endif

namespace trainer {

// a / b in loops over many elements; on a GPU to two units in the last place, and 0 for |b| from 2^126 on. An exact division on
// a GPU calls a subroutine for some operands, and the compiler moves no load across a call.
HOST_DEVICE float quotient_in_loops(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdividef(a, b);
#else
  return a / b;
#endif
}

}  // namespace trainer

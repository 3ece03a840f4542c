// HOST_DEVICE marks functions that both the CPU loops and the GPU kernels call. They are always inlined: the
// CPU loops are compiled once for each instruction set, and an out-of-line copy for one set must never be
// linked into another.
#pragma once

#if defined(__CUDACC__)
#define HOST_DEVICE __host__ __device__ __forceinline__
#else
#define HOST_DEVICE inline __attribute__((always_inline))
#endif

// HOST_DEVICE marks functions that both the CPU loops and the GPU kernels call. They are always inlined: the
// CPU loops are compiled once for each instruction set, and an out-of-line copy for one set must never be
// linked into another.
#pragma once

#if defined(__CUDACC__)
#define HOST_DEVICE __host__ __device__ __forceinline__
#else
#define HOST_DEVICE inline __attribute__((always_inline))
#endif

// Before a loop: on a GPU, so many iterations start their loads before the first waits for its own.
#if defined(__CUDA_ARCH__)
#define TRAINER_PRAGMA(text) _Pragma(#text)
#define DEVICE_UNROLL(times) TRAINER_PRAGMA(unroll times)
#else
#define DEVICE_UNROLL(times)
#endif

// CUDA's qualifiers of functions and variables. The shared memory of all kernels lies in one linker section, so that
// the emulator finds it between the linker's symbols and can poison it before each block.
#pragma once

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ static __attribute__((section("emulated_shared")))

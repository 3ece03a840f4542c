// Sums of one double of each thread, in a fixed order.
#pragma once

#include <cuda_runtime.h>

namespace trainer::cuda {

// In all threads of a warp.
__device__ inline double warp_sum(double value) {
  for (unsigned lane = 16; lane > 0; lane /= 2) value += __shfl_xor_sync(~0U, value, lane);
  return value;
}

// In all threads of a block of kThreads, which all call it.
template <unsigned kThreads>
__device__ double block_sum(double value) {
  __shared__ double of_warp[kThreads / 32];
  value = warp_sum(value);
  __syncthreads();  // a call before this one has been read
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0;
  for (const double part : of_warp) sum += part;
  return sum;
}

}  // namespace trainer::cuda

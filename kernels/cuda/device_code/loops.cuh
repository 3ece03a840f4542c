// How a thread goes over its elements, and the ReLU that all kernels share.
#pragma once

#include <cuda_runtime.h>

namespace trainer::cuda {

__device__ inline unsigned grid_index() {
  return blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ inline unsigned grid_stride() {
  return gridDim.x * blockDim.x;
}

// use(i, load(i)) for i = first, first + stride ... below `end`, in this order, kBatch loads at a time. A plain loop
// with a stride that is known only at run time cannot be unrolled without a test after every trip, over which no load
// is moved, so that each trip waits for its own load. Here all loads of a batch of trips start before the first value
// is used. Where the last batch has fewer trips, its first element is loaded again in place of the others. `load` must
// not depend on what `use` of the same batch does; end + kBatch stride does not overflow.
template <unsigned kBatch, typename Index, typename Load, typename Use>
__device__ void for_strided(Index first, Index end, Index stride, const Load& load, const Use& use) {
  for (Index begin = first; begin < end; begin += kBatch * stride) {
    decltype(load(begin)) loaded[kBatch];
#pragma unroll
    for (unsigned k = 0; k < kBatch; ++k) {
      const Index i = begin + k * stride;
      loaded[k] = load(i < end ? i : begin);
    }
#pragma unroll
    for (unsigned k = 0; k < kBatch; ++k) {
      const Index i = begin + k * stride;
      if (i < end) use(i, loaded[k]);
    }
  }
}

// max(x, 0), except that NaN stays NaN: a network that blows up must reach the loss.
__device__ inline float relu(float x) {
  return x < 0 ? 0.0F : x;
}

// The gradient of element i before the ReLU that made y; without a ReLU it is dy, and y is not read.
template <typename T>
__device__ float through_relu(bool relu, const T* y, const T* dy, unsigned i) {
  const auto all = static_cast<float>(dy[i]);
  return relu && !(static_cast<float>(y[i]) > 0) ? 0.0F : all;
}

}  // namespace trainer::cuda

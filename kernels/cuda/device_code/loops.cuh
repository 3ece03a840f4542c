// How a thread iterates over its elements, and the ReLU that all kernels share.
#pragma once

#include <cuda_runtime.h>

namespace trainer::cuda {

__device__ inline unsigned grid_index() {
  return blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ inline unsigned grid_stride() {
  return gridDim.x * blockDim.x;
}

// Calls use(i, load(i)) for i = first, first + stride ... below `end`, in this order, kBatch loads at a time. The
// compiler cannot unroll a plain loop whose stride is known only at run time without a test after every iteration, and
// moves no load across it, so each iteration would wait for its own load. Here all loads of a batch of iterations start
// before the first value is used. If the last batch is incomplete, its first element is loaded again in place of the
// missing ones. `load` must not depend on what `use` does in the same batch; end + kBatch stride must not overflow.
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

// The gradient of element i at the input of the ReLU that made y; without a ReLU it is dy, and y is not read.
template <typename T>
__device__ float through_relu(bool relu, const T* y, const T* dy, unsigned i) {
  const auto all = static_cast<float>(dy[i]);
  return relu && !(static_cast<float>(y[i]) > 0) ? 0.0F : all;
}

}  // namespace trainer::cuda

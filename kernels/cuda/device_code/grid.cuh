// A thread's place in a grid that strides over its elements, and the ReLU that all kernels share.
#pragma once

#include <cuda_runtime.h>

namespace trainer::cuda {

__device__ inline unsigned grid_index() {
  return blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ inline unsigned grid_stride() {
  return gridDim.x * blockDim.x;
}

// max(x, 0), except that NaN stays NaN: a network that blows up must reach the loss.
__device__ inline float relu(float x) {
  return x < 0 ? 0.0F : x;
}

// Element i of dy as far as it goes back through the ReLU that made y; without one y is not read.
template <typename T>
__device__ float through_relu(bool relu, const T* y, const T* dy, unsigned i) {
  const auto all = static_cast<float>(dy[i]);
  return relu && !(static_cast<float>(y[i]) > 0) ? 0.0F : all;
}

}  // namespace trainer::cuda

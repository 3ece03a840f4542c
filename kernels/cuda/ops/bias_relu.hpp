// What lies between a product or convolution and the next layer where no pool does: bias, ReLU, and their
// gradients.
#pragma once

#include "kernels/cuda/context.hpp"

namespace trainer::cuda {

// y = y + bias, then ReLU where `relu`; in place. y is [positions, c]; bias may be null. Maps are of the
// context's element type.
void launch_bias_relu(const CudaContext& context, const float* bias, bool relu, void* y,
                      std::size_t positions, int c);

// dz = dy where y > 0, else 0 (dz may be null: not wanted); db: the sum of that over the positions for each
// channel (null: not wanted). Without ReLU the mask is 1 everywhere.
struct BiasReluBackward {
  const void* dy = nullptr;
  const void* y = nullptr;
  bool relu = false;
  void* dz = nullptr;
  float* db = nullptr;
  float* partial = nullptr;  // bias_relu_partial_bytes(c)
};
void launch_bias_relu_backward(const CudaContext& context, const BiasReluBackward& args,
                               std::size_t positions, int c);
std::size_t bias_relu_partial_bytes(int c);

}  // namespace trainer::cuda

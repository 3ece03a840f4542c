// Bias and ReLU, and in one kernel their gradients: the masked map, and its sums for each channel.
#include "kernels/cuda/bias_relu.hpp"
#include "kernels/cuda/channel_sums.cuh"
#include "kernels/cuda/grid.cuh"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 8192;

__global__ void bias_relu(const float* bias, bool with_relu, float* y, std::size_t count,
                          std::size_t channels) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride()) {
    const float z = bias == nullptr ? y[i] : y[i] + bias[i % channels];
    y[i] = with_relu ? relu(z) : z;
  }
}

__device__ float passed(const BiasReluBackward& a, std::size_t i) {
  return !a.relu || a.y[i] > 0 ? a.dy[i] : 0.0F;
}

__global__ void bias_relu_backward(BiasReluBackward a, ChannelSums sums, unsigned* ticket) {
  const auto channels = static_cast<std::size_t>(sums.channels);
  const std::size_t count = sums.positions * channels;
  for (std::size_t i = grid_index(); a.dz != nullptr && i < count; i += grid_stride()) a.dz[i] = passed(a, i);
  if (a.db == nullptr) return;
  write_partial_sums<float, 1>(sums, a.partial,
                               [&](std::size_t p, unsigned c, int) { return passed(a, p * channels + c); });
  if (!is_last_block(ticket, gridDim.x)) return;
  finish_sums<float, 1>(sums, a.partial, [&](unsigned c, int, float sum) { a.db[c] = sum; });
}

}  // namespace

void launch_bias_relu(const CudaContext& context, const float* bias, bool relu, float* y,
                      std::size_t positions, int c) {
  const auto channels = static_cast<std::size_t>(c);
  launch(context.stream, cover(positions * channels, kThreads, kMostBlocks), "bias_relu", bias_relu, bias,
         relu, y, positions * channels, channels);
}

void launch_bias_relu_backward(const CudaContext& context, const BiasReluBackward& args,
                               std::size_t positions, int c) {
  const ChannelSums sums{positions, c};
  launch(context.stream, channel_sums_shape(sums), "bias_relu_backward", bias_relu_backward, args, sums,
         context.ticket);
}

std::size_t bias_relu_partial_bytes(int c) {
  return partial_sums_bytes<float>(1, c);
}

}  // namespace trainer::cuda

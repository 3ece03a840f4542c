// Bias and ReLU, and in one kernel their gradients: the masked map, and its sums for each channel.
#include "kernels/cuda/device_code/channel_sums.cuh"
#include "kernels/cuda/device_code/grid.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/ops/bias_relu.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 8192;

template <typename T>
__global__ void bias_relu(const float* bias, bool with_relu, void* map, std::size_t count,
                          std::size_t channels) {
  T* y = static_cast<T*>(map);
  for (std::size_t i = grid_index(); i < count; i += grid_stride()) {
    const float z = static_cast<float>(y[i]) + (bias == nullptr ? 0.0F : bias[i % channels]);
    y[i] = static_cast<T>(with_relu ? relu(z) : z);
  }
}

template <typename T>
__global__ void bias_relu_backward(BiasReluBackward a, ChannelSums sums, unsigned* ticket) {
  const auto channels = static_cast<std::size_t>(sums.channels);
  const std::size_t count = sums.positions * channels;
  const T* y = static_cast<const T*>(a.y);
  const T* dy = static_cast<const T*>(a.dy);
  T* dz = static_cast<T*>(a.dz);
  for (std::size_t i = grid_index(); dz != nullptr && i < count; i += grid_stride())
    dz[i] = static_cast<T>(through_relu(a.relu, y, dy, i));
  if (a.db == nullptr) return;
  write_partial_sums(sums, a.partial, [&](std::size_t p, unsigned c) {
    return through_relu(a.relu, y, dy, p * channels + c);
  });
  if (!is_last_block(ticket, gridDim.x)) return;
  finish_sums(sums, a.partial, [&](unsigned c, float sum) { a.db[c] = sum; });
}

}  // namespace

void launch_bias_relu(const CudaContext& context, const float* bias, bool relu, void* y,
                      std::size_t positions, int c) {
  const auto channels = static_cast<std::size_t>(c);
  visit_element(context.element, [&](auto of) {
    using T = typename decltype(of)::Type;
    launch(context.stream, cover(positions * channels, kThreads, kMostBlocks), "bias_relu", bias_relu<T>,
           bias, relu, y, positions * channels, channels);
  });
}

void launch_bias_relu_backward(const CudaContext& context, const BiasReluBackward& args,
                               std::size_t positions, int c) {
  const ChannelSums sums{positions, c};
  visit_element(context.element, [&](auto of) {
    using T = typename decltype(of)::Type;
    launch(context.stream, channel_sums_shape(sums), "bias_relu_backward", bias_relu_backward<T>, args, sums,
           context.ticket);
  });
}

std::size_t bias_relu_partial_bytes(int c) {
  return partial_sums_bytes(c);
}

}  // namespace trainer::cuda

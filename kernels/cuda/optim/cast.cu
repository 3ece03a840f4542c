// Copies of the weights in the element type of maps, and gradients back from it.
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 1024;

template <typename T>
__global__ void cast(const float* from, void* to, std::size_t count) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride())
    static_cast<T*>(to)[i] = static_cast<T>(from[i]);
}

template <typename T>
__global__ void widen(const void* from, float* to, std::size_t count) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride())
    to[i] = static_cast<float>(static_cast<const T*>(from)[i]);
}

}  // namespace

void launch_widen(const CudaContext& context, const void* from, float* to, std::size_t count) {
  visit_element(context.element, [&]<typename T>(ElementType<T>) {
    launch(context.stream, cover(count, kThreads, kMostBlocks), "widen", widen<T>, from, to, count);
  });
}

void launch_cast(const CudaContext& context, const float* from, void* to, std::size_t count) {
  visit_element(context.element, [&]<typename T>(ElementType<T>) {
    launch(context.stream, cover(count, kThreads, kMostBlocks), "cast", cast<T>, from, to, count);
  });
}

}  // namespace trainer::cuda

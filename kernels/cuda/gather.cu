// Opens a step: a block an image.
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/map_element.hpp"
#include "kernels/cuda/step_opening.cuh"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;

template <typename T>
__global__ void gather(GatherArgs args, unsigned pixels) {
  const unsigned row = blockIdx.x;
  __shared__ OpenedRow opened;
  if (threadIdx.x == 0) opened = open_row(args, row, true);
  __syncthreads();
  T* to = static_cast<T*>(args.x) + std::size_t{row} * pixels;
  const auto line = static_cast<unsigned>(args.shape.w * args.shape.c);
  for (unsigned i = threadIdx.x; i < pixels; i += blockDim.x)
    to[i] = static_cast<T>(opened.value(args, static_cast<int>(i / line), static_cast<int>(i % line)));
}

__global__ void advance(StepState* state) {
  ++state->step;
}

}  // namespace

void launch_gather(const CudaContext& context, const GatherArgs& args) {
  const auto pixels = static_cast<unsigned>(args.shape.size());
  visit_element(context.element, [&](auto of) {
    using T = typename decltype(of)::Type;
    launch(context.stream, {args.batching.batch, kThreads}, "gather", gather<T>, args, pixels);
  });
}

void launch_advance(const CudaContext& context, StepState* state) {
  launch(context.stream, {1, 1}, "advance", advance, state);
}

}  // namespace trainer::cuda

// Opens a step, with one block for each image.
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/device_code/step_opening.cuh"
#include "kernels/math/divider.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;

template <typename T>
__global__ void gather(GatherArgs args, unsigned pixels, Divider by_line) {
  const unsigned row = blockIdx.x;
  __shared__ OpenedRow opened;
  if (threadIdx.x == 0) opened = open_row(args, row, true);
  __syncthreads();
  T* to = static_cast<T*>(args.x) + std::size_t{row} * pixels;
  const auto load = [&](unsigned i) {
    const unsigned y = by_line.quotient(i);
    return opened.stored(args, static_cast<int>(y), static_cast<int>(i - y * by_line.by()));
  };
  const auto use = [&](unsigned i, std::uint8_t stored) {
    to[i] = static_cast<T>(opened.shown ? OpenedRow::value(args, stored) : 0.0F);
  };
  for_strided<4>(threadIdx.x, pixels, kThreads, load, use);  // loads in a row: 4
}

__global__ void advance(StepState* state) {
  ++state->step;
}

}  // namespace

void launch_gather(const CudaContext& context, const GatherArgs& args) {
  if (args.needs_whole_images()) return launch_gather_augmented(context, args);
  const auto pixels = static_cast<unsigned>(args.shape.size());
  const Divider by_line(static_cast<unsigned>(args.shape.w * args.shape.c));
  visit_element(context.element, [&]<typename T>(ElementType<T>) {
    launch(context.stream, {args.batching.batch, kThreads}, "gather", gather<T>, args, pixels, by_line);
  });
}

void launch_advance(const CudaContext& context, StepState* state) {
  launch(context.stream, {1, 1}, "advance", advance, state);
}

}  // namespace trainer::cuda

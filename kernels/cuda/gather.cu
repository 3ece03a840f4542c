// Opens a step: a block an image. The step's number comes from the device, so a replay shows the next images
// by itself.
#include "kernels/cuda/context.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;

__global__ void gather(GatherArgs args, unsigned pixels) {
  __shared__ std::uint32_t image;
  __shared__ bool shown;
  const std::uint64_t step = args.state->step;
  const unsigned row = blockIdx.x;
  if (threadIdx.x == 0) {
    const std::uint32_t valid = valid_rows(args.batching, step);
    shown = row < valid;
    image = shown ? image_of(args.batching, step, row) : 0;
    args.labels[row] = shown ? args.stored_labels[image] : std::uint8_t{0};
    if (row == 0) {
      args.state->valid = valid;
      args.state->batch_loss = 0;
    }
  }
  __syncthreads();
  const std::uint8_t* from = args.images + std::size_t{image} * pixels;
  float* to = args.x + std::size_t{row} * pixels;
  for (unsigned i = threadIdx.x; i < pixels; i += blockDim.x) {
    to[i] = shown ? static_cast<float>(from[i]) * args.scale + args.shift : 0.0F;
  }
}

__global__ void advance(StepState* state) {
  ++state->step;
}

}  // namespace

void launch_gather(const CudaContext& context, const GatherArgs& args) {
  const auto pixels = static_cast<unsigned>(args.shape.size());
  launch(context.stream, {args.batching.batch, kThreads}, "gather", gather, args, pixels);
}

void launch_advance(const CudaContext& context, StepState* state) {
  launch(context.stream, {1, 1}, "advance", advance, state);
}

}  // namespace trainer::cuda

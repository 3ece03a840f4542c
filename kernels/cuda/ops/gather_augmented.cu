// Opens a step with data augmentation, or normalised image by image, with one block for each image: one thread draws, all of them
// interpolate; what is standardised is interpolated twice, first for its sums.
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/block_sum.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/device_code/step_opening.cuh"
#include "kernels/math/divider.hpp"
#include "kernels/math/standardisation.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;

template <typename T>
__global__ void gather_augmented(GatherArgs args, unsigned pixels, Divider by_line, Divider by_channels) {
  const unsigned row = blockIdx.x;
  __shared__ OpenedRow opened;
  __shared__ Transformation drawn;
  if (threadIdx.x == 0) {
    opened = open_row(args, row, true);
    const StepState& state = *args.state;
    const ShownImage image =
        opened.shown ? image_of(args.batching, state.seed, state.step, row) : ShownImage{};
    drawn = transformation_of(args.augmentation, args.stored, state.seed, image.epoch, image.index);
  }
  __syncthreads();
  T* to = static_cast<T*>(args.x) + std::size_t{row} * pixels;
  const std::uint8_t* image = args.images + opened.first;
  const auto value_at = [&](unsigned i) {
    const unsigned y = by_line.quotient(i);
    const unsigned in_line = i - y * by_line.by();
    const unsigned column = by_channels.quotient(in_line);
    const float value =
        pixel_of(drawn, image, args.stored, args.top + static_cast<int>(y),
                 args.left + static_cast<int>(column), static_cast<int>(in_line - column * by_channels.by()));
    return value * args.scale + args.shift;
  };
  Standardisation s{0, 1};
  if (args.standardise) {
    double sum = 0, squares = 0;
    for (unsigned i = threadIdx.x; i < pixels; i += kThreads) {
      const auto value = static_cast<double>(value_at(i));
      sum += value;
      squares += value * value;
    }
    s = standardisation_of(block_sum<kThreads>(sum), block_sum<kThreads>(squares), pixels);
  }
  for (unsigned i = threadIdx.x; i < pixels; i += kThreads)
    to[i] = static_cast<T>(opened.shown ? s.of(value_at(i)) : 0.0F);
}

}  // namespace

void launch_gather_augmented(const CudaContext& context, const GatherArgs& args) {
  const auto pixels = static_cast<unsigned>(args.shape.size());
  const Divider by_line(static_cast<unsigned>(args.shape.w * args.shape.c));
  const Divider by_channels(static_cast<unsigned>(args.shape.c));
  visit_element(context.element, [&]<typename T>(ElementType<T>) {
    launch(context.stream, {args.batching.batch, kThreads}, "gather_augmented", gather_augmented<T>, args,
           pixels, by_line, by_channels);
  });
}

}  // namespace trainer::cuda

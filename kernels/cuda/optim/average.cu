// The moving average of the weights, after the step is closed, and its copy in the maps' element type.
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"

namespace trainer::cuda {

namespace {

template <typename T>
__global__ void average(const __grid_constant__ AverageArgs a) {
  if (!a.moves()) return;
  const float d = a.step_decay();
  for (std::size_t i = grid_index(); i < a.count; i += grid_stride()) {  // loads in a row: 2
    const float moved = moved_average(d, a.averages[i], a.values[i]);
    a.averages[i] = moved;
    if (a.cast != nullptr) static_cast<T*>(a.cast)[i] = static_cast<T>(moved);
  }
}

}  // namespace

void launch_average(const CudaContext& context, const AverageArgs& args) {
  visit_element(context.element, [&]<typename T>(ElementType<T>) {
    launch(context.stream, cover(args.count, 256, 1024), "average", average<T>, args);
  });
}

}  // namespace trainer::cuda

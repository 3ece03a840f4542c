// The end of a training step: one pass of the optimisers over the flat parameters. Every block computes rates, momentum
// and Adam's corrections once from the step's number on the device. If some weights are taken as matrices, their kernel
// does all this instead (muon.cu).
#include <algorithm>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/loops.cuh"
#include "kernels/cuda/device_code/map_element.hpp"
#include "kernels/cuda/optim/update_terms.cuh"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 1024;

template <typename T>
__global__ void update(const __grid_constant__ UpdateTerms t) {
  __shared__ SharedStep steps[kMostOptimizers];
  const bool frozen = is_frozen(t);
  work_out_steps(t, steps);
  if (!frozen) update_segments<T>(t, steps);
  close_step(t);
}

}  // namespace

void launch_update(const CudaContext& context, const UpdateArgs& args) {
  const bool has_matrices = args.matrices != nullptr && !args.matrices->empty();
  UpdateTerms t = update_terms(context, args);
  if (args.clip_norm > 0) t.clipped_scale = launch_gradient_norm(context, args, t);
  const std::vector<Segment>& segments = *args.segments;
  std::size_t done = 0;
  for (;;) {
    const std::size_t count = std::min<std::size_t>(segments.size() - done, kMostSegments);
    std::copy_n(segments.begin() + static_cast<std::ptrdiff_t>(done), count, t.segment);
    t.segment_count = static_cast<int>(count);
    done += count;
    t.closes_step = done == segments.size();
    if (t.closes_step && has_matrices) return launch_muon(context, args, t);
    std::uint64_t largest = 0;
    for (std::size_t s = 0; s < count; ++s) largest = std::max(largest, t.segment[s].count);
    visit_element(context.element, [&]<typename T>(ElementType<T>) {
      launch(context.stream, cover(largest, kThreads, kMostBlocks), "update", update<T>, t);
    });
    if (t.closes_step) return;
  }
}

}  // namespace trainer::cuda

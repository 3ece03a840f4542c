// Closes a training step: one pass of the optimiser over the flat parameters. Rate, momentum and Adam's
// corrections follow from the step's number on the device; every block works them out for itself, once. The
// block that ends last notes a loss that is not finite and moves the step on, when nobody reads it any more.
#include <algorithm>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/last_block.cuh"
#include "kernels/cuda/map_element.hpp"
#include "kernels/cuda/update_terms.cuh"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 1024;
constexpr int kMostSegments = 32;  // of one launch: they travel in its arguments

struct UpdateParameters {
  UpdateTerms terms;
  Segment segments[kMostSegments];
  int segment_count = 0;
  bool closes_step = true;
  unsigned* ticket = nullptr;
};

__device__ void update_element(const UpdateTerms& t, const UpdateStep& u, const Segment& segment,
                               std::uint64_t i, float g) {
  const Optimizer& optimizer = t.optimizers[segment.optimizer];
  const float rate = u.rate * segment.rate_factor;
  switch (optimizer.kind) {
    case OptimizerKind::sgd: {
      const bool has_slot = optimizer_slots(optimizer) > 0;
      float v = has_slot ? t.slot0[i] : 0.0F;
      sgd_update(u, optimizer.nesterov, rate, segment.decay, g, t.w[i], v);
      if (has_slot) t.slot0[i] = v;
      break;
    }
    case OptimizerKind::adam:
      adam_update(optimizer, u, rate, segment.decay, 0, g, t.w[i], t.slot0[i], t.slot1[i]);
      break;
    case OptimizerKind::adamw:
      adam_update(optimizer, u, rate, 0, segment.decay, g, t.w[i], t.slot0[i], t.slot1[i]);
      break;
    case OptimizerKind::adadelta:
      adadelta_update(optimizer, rate, segment.decay, g, t.w[i], t.slot0[i], t.slot1[i]);
      break;
    case OptimizerKind::muon:
      break;  // muon.cu
  }
}

template <typename T>
__global__ void update(const __grid_constant__ UpdateParameters p) {
  __shared__ SharedStep steps[kMostOptimizers];
  const UpdateTerms& t = p.terms;
  StepState& state = *t.state;
  const std::uint64_t step = state.step;
  const bool bad = !isfinite(state.batch_loss);
  const bool frozen = is_frozen(t);
  work_out_steps(t, steps);
  const std::uint64_t first = std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::uint64_t stride = std::uint64_t{gridDim.x} * blockDim.x;
  for (int s = 0; s < p.segment_count && !frozen; ++s) {
    const Segment& segment = p.segments[s];
    const UpdateStep u = steps[segment.optimizer].get();
    for (std::uint64_t i = first; i < segment.count; i += stride) {
      const std::uint64_t at = segment.offset + i;
      update_element(t, u, segment, at, stored_gradient<T>(t, segment, i));
      if (t.cast_w != nullptr) static_cast<T*>(t.cast_w)[at] = static_cast<T>(t.w[at]);
    }
  }
  if (!p.closes_step || !is_last_block(p.ticket, gridDim.x) || threadIdx.x != 0) return;
  if (bad && state.first_bad_step == kNoBadStep) state.first_bad_step = step;
  state.step = step + 1;
}

template <typename T>
__global__ void cast(const float* from, void* to, std::size_t count) {
  for (std::size_t i = grid_index(); i < count; i += grid_stride())
    static_cast<T*>(to)[i] = static_cast<T>(from[i]);
}

}  // namespace

void launch_cast(const CudaContext& context, const float* from, void* to, std::size_t count) {
  visit_element(context.element, [&](auto of) {
    using T = typename decltype(of)::Type;
    launch(context.stream, cover(count, kThreads, kMostBlocks), "cast", cast<T>, from, to, count);
  });
}

void launch_update(const CudaContext& context, const UpdateArgs& args) {
  UpdateParameters p;
  p.terms = update_terms(context, args);
  p.ticket = context.ticket;
  const std::vector<Segment>& segments = *args.segments;
  std::size_t done = 0;
  do {
    const std::size_t count = std::min<std::size_t>(segments.size() - done, kMostSegments);
    std::copy_n(segments.begin() + static_cast<std::ptrdiff_t>(done), count, p.segments);
    p.segment_count = static_cast<int>(count);
    done += count;
    p.closes_step = done == segments.size();
    std::uint64_t largest = 0;
    for (std::size_t s = 0; s < count; ++s) largest = std::max(largest, p.segments[s].count);
    visit_element(context.element, [&](auto of) {
      using T = typename decltype(of)::Type;
      launch(context.stream, cover(largest, kThreads, kMostBlocks), "update", update<T>, p);
    });
  } while (done < segments.size());
}

}  // namespace trainer::cuda

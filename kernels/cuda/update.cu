// Closes a training step: one pass of the optimiser over the flat parameters. Rate, momentum and Adam's
// corrections follow from the step's number on the device; every block works them out for itself, once. The
// block that ends last notes a loss that is not finite and moves the step on, when nobody reads it any more.
#include <algorithm>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/last_block.cuh"
#include "kernels/cuda/map_element.hpp"

namespace trainer::cuda {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMostBlocks = 1024;
constexpr int kMostSegments = 32;  // of one launch: they travel in its arguments

struct UpdateParameters {
  Optimizer optimizer;
  Schedule schedule;
  Batching batching;
  Segment segments[kMostSegments];
  int segment_count = 0;
  bool closes_step = true;
  float* w = nullptr;
  void* cast_w = nullptr;
  const float* dw = nullptr;
  float inverse_scale = 1;  // of the gradients
  float* slot0 = nullptr;
  float* slot1 = nullptr;
  StepState* state = nullptr;
  unsigned* ticket = nullptr;
};

// Gradient of element i, counted from the segment's start.
template <typename T>
__device__ float gradient_at(const UpdateParameters& p, const Segment& segment, std::uint64_t i) {
  const float* dw = p.dw + segment.offset;
  const float g = segment.cast_gradient ? static_cast<float>(reinterpret_cast<const T*>(dw)[i]) : dw[i];
  return g * p.inverse_scale;
}

__device__ void update_element(const UpdateParameters& p, const UpdateStep& u, const Segment& segment,
                               std::uint64_t i, float g) {
  const float rate = u.rate * segment.rate_factor;
  switch (p.optimizer.kind) {
    case OptimizerKind::sgd: {
      float v = p.slot0 == nullptr ? 0.0F : p.slot0[i];
      sgd_update(u, p.optimizer.nesterov, rate, segment.decay, g, p.w[i], v);
      if (p.slot0 != nullptr) p.slot0[i] = v;
      break;
    }
    case OptimizerKind::adam:
      adam_update(p.optimizer, u, rate, segment.decay, 0, g, p.w[i], p.slot0[i], p.slot1[i]);
      break;
    case OptimizerKind::adamw:
      adam_update(p.optimizer, u, rate, 0, segment.decay, g, p.w[i], p.slot0[i], p.slot1[i]);
      break;
    case OptimizerKind::adadelta:
      adadelta_update(p.optimizer, rate, segment.decay, g, p.w[i], p.slot0[i], p.slot1[i]);
      break;
  }
}

template <typename T>
__global__ void update(UpdateParameters p) {
  __shared__ float shared[5];
  const std::uint64_t step = p.state->step;
  const bool bad = !isfinite(p.state->batch_loss);
  const bool frozen = bad || p.state->first_bad_step != kNoBadStep;
  if (threadIdx.x == 0) {
    const UpdateStep u = update_step(p.optimizer, p.schedule, step, pass_of(p.batching, step));
    shared[0] = u.rate;
    shared[1] = u.momentum;
    shared[2] = u.gain;
    shared[3] = u.correction1;
    shared[4] = u.correction2;
  }
  __syncthreads();
  const UpdateStep u{shared[0], shared[1], shared[2], shared[3], shared[4]};
  const std::uint64_t first = std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::uint64_t stride = std::uint64_t{gridDim.x} * blockDim.x;
  for (int s = 0; s < p.segment_count && !frozen; ++s) {
    const Segment& segment = p.segments[s];
    for (std::uint64_t i = first; i < segment.count; i += stride) {
      const std::uint64_t at = segment.offset + i;
      update_element(p, u, segment, at, gradient_at<T>(p, segment, i));
      if (p.cast_w != nullptr) static_cast<T*>(p.cast_w)[at] = static_cast<T>(p.w[at]);
    }
  }
  if (!p.closes_step || !is_last_block(p.ticket, gridDim.x) || threadIdx.x != 0) return;
  if (bad && p.state->first_bad_step == kNoBadStep) p.state->first_bad_step = step;
  p.state->step = step + 1;
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
  p.optimizer = args.optimizer;
  p.schedule = args.schedule;
  p.batching = args.batching;
  p.w = args.w;
  p.cast_w = args.cast_w;
  p.dw = args.dw;
  p.inverse_scale = 1 / context.loss_scale;
  p.slot0 = args.slot0;
  p.slot1 = args.slot1;
  p.state = args.state;
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

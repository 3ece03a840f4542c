// Closes a training step: one pass of the optimiser over the flat parameters. Rate, momentum and Adam's
// corrections follow from the step's number on the device; every block works them out for itself, once. The
// block that ends last notes a loss that is not finite and moves the step on, when nobody reads it any more.
#include <algorithm>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/last_block.cuh"

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
  const float* dw = nullptr;
  float* slot0 = nullptr;
  float* slot1 = nullptr;
  StepState* state = nullptr;
  unsigned* ticket = nullptr;
};

__device__ void update_element(const UpdateParameters& p, const UpdateStep& u, const Segment& segment,
                               std::uint64_t i) {
  const float rate = u.rate * segment.rate_factor;
  const float g = p.dw[i];
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
    for (std::uint64_t i = first; i < segment.count; i += stride)
      update_element(p, u, segment, segment.offset + i);
  }
  if (!p.closes_step || !is_last_block(p.ticket, gridDim.x) || threadIdx.x != 0) return;
  if (bad && p.state->first_bad_step == kNoBadStep) p.state->first_bad_step = step;
  p.state->step = step + 1;
}

}  // namespace

void launch_update(const CudaContext& context, const UpdateArgs& args) {
  UpdateParameters p;
  p.optimizer = args.optimizer;
  p.schedule = args.schedule;
  p.batching = args.batching;
  p.w = args.w;
  p.dw = args.dw;
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
    launch(context.stream, cover(largest, kThreads, kMostBlocks), "update", update, p);
  } while (done < segments.size());
}

}  // namespace trainer::cuda

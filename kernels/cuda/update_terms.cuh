// What the kernels that close a training step share: whether it changes anything, its rates, and a weight's
// gradient as it is stored.
#pragma once

#include <algorithm>

#include "kernels/backend.hpp"
#include "kernels/cuda/context.hpp"

namespace trainer::cuda {

// What is the same for every parameter; travels in a kernel's arguments.
struct UpdateTerms {
  Optimizer optimizers[kMostOptimizers];
  int optimizer_count = 0;
  Schedule schedule;
  Batching batching;
  float* w = nullptr;
  void* cast_w = nullptr;
  const float* dw = nullptr;
  float inverse_scale = 1;  // of the gradients
  float* slot0 = nullptr;
  float* slot1 = nullptr;
  StepState* state = nullptr;
};

inline UpdateTerms update_terms(const CudaContext& context, const UpdateArgs& args) {
  UpdateTerms t;
  t.optimizer_count = static_cast<int>(std::min<std::size_t>(args.optimizers->size(), kMostOptimizers));
  std::copy_n(args.optimizers->begin(), t.optimizer_count, t.optimizers);
  t.schedule = args.schedule;
  t.batching = args.batching;
  t.w = args.w;
  t.cast_w = args.cast_w;
  t.dw = args.dw;
  t.inverse_scale = 1 / context.loss_scale;
  t.slot0 = args.slot0;
  t.slot1 = args.slot1;
  t.state = args.state;
  return t;
}

// Whether the step, or one before it, has a loss that is not finite.
__device__ inline bool is_frozen(const UpdateTerms& t) {
  return !isfinite(t.state->batch_loss) || t.state->first_bad_step != kNoBadStep;
}

// An UpdateStep in shared memory, where nothing has a constructor.
struct SharedStep {
  float rate, momentum, gain, correction1, correction2;
  __device__ UpdateStep get() const { return {rate, momentum, gain, correction1, correction2}; }
};

// What each optimiser does in this step, by one thread each. All threads call it.
__device__ inline void work_out_steps(const UpdateTerms& t, SharedStep* steps) {
  const auto i = static_cast<int>(threadIdx.x);
  if (i < t.optimizer_count) {
    const std::uint64_t step = t.state->step;
    const UpdateStep u = update_step(t.optimizers[i], t.schedule, step, pass_of(t.batching, step));
    steps[i] = {u.rate, u.momentum, u.gain, u.correction1, u.correction2};
  }
  __syncthreads();
}

// Gradient of element i, counted from the segment's start.
template <typename T>
__device__ float stored_gradient(const UpdateTerms& t, const Segment& segment, std::uint64_t i) {
  const float* dw = t.dw + segment.offset;
  const float g = segment.cast_gradient ? static_cast<float>(reinterpret_cast<const T*>(dw)[i]) : dw[i];
  return g * t.inverse_scale;
}

}  // namespace trainer::cuda

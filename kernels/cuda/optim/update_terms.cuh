// What the two kernels that end a training step share: whether the step changes anything, its rates, how gradients are
// stored, the loop over the segments that are updated element by element, and the end itself.
#pragma once

#include <algorithm>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/device_code/last_block.cuh"
#include "kernels/cuda/device_code/loops.cuh"

namespace trainer::cuda {

constexpr int kMostSegments = 32;  // of one launch: they are passed in its arguments

// A launch's arguments: those of the update, the contents of its vectors, and the segments of the launch.
struct UpdateTerms : UpdateArgs {
  Optimizer optimizer[kMostOptimizers];
  int optimizer_count = 0;
  Segment segment[kMostSegments];
  int segment_count = 0;
  float inverse_scale = 1;                // factor of the gradients
  const double* clipped_scale = nullptr;  // if set, what clipping makes of it
  bool closes_step = false;
  unsigned* ticket = nullptr;
};

// Fills in all but the segments.
inline UpdateTerms update_terms(const CudaContext& context, const UpdateArgs& args) {
  UpdateTerms t;
  static_cast<UpdateArgs&>(t) = args;
  t.optimizer_count = static_cast<int>(std::min<std::size_t>(args.optimizers->size(), kMostOptimizers));
  std::copy_n(args.optimizers->begin(), t.optimizer_count, t.optimizer);
  t.inverse_scale = 1 / context.loss_scale;
  t.ticket = context.ticket;
  return t;
}

// Whether the step, or one before it, has a loss that is not finite.
__device__ inline bool is_frozen(const UpdateTerms& t) {
  return !isfinite(t.state->batch_loss) || t.state->first_bad_step != kNoBadStep;
}

// An UpdateStep in shared memory, where nothing has a constructor.
struct SharedStep {
  float rate, momentum, gradient_weight, correction1, correction2, clip;
  __device__ UpdateStep get() const {
    return {rate, momentum, gradient_weight, correction1, correction2, clip};
  }
};

// Works out what each optimiser does in this step, one thread for each. All threads call it.
__device__ inline void work_out_steps(const UpdateTerms& t, SharedStep* steps) {
  const auto i = static_cast<int>(threadIdx.x);
  if (i < t.optimizer_count) {
    const std::uint64_t step = t.state->step;
    const UpdateStep u = update_step(t.optimizer[i], t.schedule, step, epoch_of(t.batching, step));
    const float scale = t.clipped_scale == nullptr ? t.inverse_scale : static_cast<float>(*t.clipped_scale);
    steps[i] = {u.rate, u.momentum, u.gradient_weight, u.correction1, u.correction2, scale};
  }
  __syncthreads();
}

// The gradient of element i, counted from the segment's start, times `scale`.
template <typename T>
__device__ float stored_gradient(const UpdateTerms& t, const Segment& segment, std::uint64_t i, float scale) {
  const float* dw = t.dw + segment.offset;
  const float g = segment.cast_gradient ? static_cast<float>(reinterpret_cast<const T*>(dw)[i]) : dw[i];
  return g * scale;
}

// Reads everything it needs before it writes, since the compiler must assume that the pointers alias.
template <typename T>
__device__ void update_element(const UpdateTerms& t, const UpdateStep& u, const Segment& segment,
                               std::uint64_t i, float g) {
  const Optimizer& optimizer = t.optimizer[segment.optimizer];
  const float rate = u.rate * segment.rate_factor;
  const int slots = optimizer_slots(optimizer);
  float w = t.w[i];
  float slot0 = slots > 0 ? t.slot0[i] : 0.0F;
  float slot1 = slots > 1 ? t.slot1[i] : 0.0F;
  switch (optimizer.kind) {
    case OptimizerKind::sgd:
      sgd_update(u, optimizer.nesterov, rate, segment.decay, g, w, slot0);
      break;
    case OptimizerKind::adam:
      adam_update(optimizer, u, rate, segment.decay, 0, g, w, slot0, slot1);
      break;
    case OptimizerKind::adamw:
      adam_update(optimizer, u, rate, 0, segment.decay, g, w, slot0, slot1);
      break;
    case OptimizerKind::adadelta:
      adadelta_update(optimizer, rate, segment.decay, g, w, slot0, slot1);
      break;
    case OptimizerKind::muon:
      return;  // muon.cu
  }
  t.w[i] = w;
  if (slots > 0) t.slot0[i] = slot0;
  if (slots > 1) t.slot1[i] = slot1;
  if (t.cast_w != nullptr) static_cast<T*>(t.cast_w)[i] = static_cast<T>(w);
}

template <typename T>
__device__ void update_segments(const UpdateTerms& t, const SharedStep* steps) {
  for (int s = 0; s < t.segment_count; ++s) {
    const Segment& segment = t.segment[s];
    const UpdateStep u = steps[segment.optimizer].get();
    for (std::uint64_t i = grid_index(); i < segment.count; i += grid_stride())  // loads in a row: 3
      update_element<T>(t, u, segment, segment.offset + i, stored_gradient<T>(t, segment, i, u.clip));
  }
}

// Called by all threads at the end of the kernel that closes the step. The last block to arrive notes a loss that is
// not finite and advances the step, when nobody reads it any more.
[[maybe_unused]] static __device__ void close_step(const UpdateTerms& t) {
  if (!t.closes_step || !is_last_block(t.ticket, gridDim.x) || threadIdx.x != 0) return;
  StepState& state = *t.state;
  if (!isfinite(state.batch_loss) && state.first_bad_step == kNoBadStep) state.first_bad_step = state.step;
  ++state.step;
}

}  // namespace trainer::cuda

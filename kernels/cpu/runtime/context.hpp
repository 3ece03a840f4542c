// The state that all ops of the CPU engine share, and the functions that make them. The backend owns the
// context and outlives its ops.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/bump_allocator.hpp"
#include "kernels/cpu/runtime/loops.hpp"
#include "kernels/cpu/runtime/onednn.hpp"
#include "kernels/cpu/runtime/parallel.hpp"

namespace trainer::cpu {

struct CpuContext {
  const Loops& loops;
  OneDnn dnn;
  int threads;
  // If set, convolutions and dense layers round their inputs to bf16. Maps stay fp32 except those that
  // Backend::keeps_map_in_bf16().
  const Bf16Loops* bf16 = nullptr;
  RankPart part = {};
};

// The type of the inputs of products.
inline Type input_type(const CpuContext& context) {
  return context.bf16 != nullptr ? Type::bf16 : Type::f32;
}

// The CPU engine stores maps in fp32, or in bf16 if a ConvDesc says so.
inline const float* floats(const void* map) {
  return static_cast<const float*>(map);
}
inline float* floats(void* map) {
  return static_cast<float*>(map);
}
inline const std::uint16_t* halves(const void* map) {
  return static_cast<const std::uint16_t*>(map);
}
inline std::uint16_t* halves(void* map) {
  return static_cast<std::uint16_t*>(map);
}

// The address for the argmax of a max pool's output `at`, in an array [n, h, w, c]; null in inference, since
// only backward reads it.
inline std::uint8_t* argmax_of(const OpArgs& args, std::size_t at) {
  return args.mode == Mode::training ? reinterpret_cast<std::uint8_t*>(args.saved) + at : nullptr;
}

constexpr int kFewestLanes = 4;

// The vector width in lanes, at most `widest`, that wastes the fewest lanes on `channels`.
constexpr int best_lanes(int channels, int widest) {
  const auto padded = [channels](int lanes) { return (channels + lanes - 1) / lanes * lanes; };
  int best = widest;
  for (int lanes = widest / 2; lanes >= kFewestLanes; lanes /= 2) {
    if (padded(lanes) < padded(best)) best = lanes;
  }
  return best;
}

// Calls body(Range) for each thread's range of 0 .. count - 1; the body adds to the `length` floats at
// sums_of(thread), which start at 0. In the end those of thread 0 hold the totals, added up in thread order.
template <typename SumsOf, typename Body>
void sum_over_threads(const CpuContext& context, std::size_t count, std::size_t length, const SumsOf& sums_of,
                      const Body& body) {
  for (int t = 0; t < context.threads; ++t) std::fill_n(sums_of(t), length, 0.0F);
  parallel(count, 1, context.threads, body);
  for (int t = 1; t < context.threads; ++t) context.loops.add(sums_of(t), sums_of(0), 0, length);
}

constexpr std::size_t kElementGrain = 4096;  // fewest elements per thread; a multiple of 64 for dropout

// y = relu(y), [count].
inline void relu(const CpuContext& context, float* y, std::size_t count) {
  parallel(count, kElementGrain, context.threads,
           [&](const Range& range) { context.loops.relu(y, y, range.begin, range.end); });
}

// The gradient at the input of a ReLU: dx = dy where y is above 0, else 0, [count]. dx may be dy.
inline void relu_backward(const CpuContext& context, const float* y, const float* dy, float* dx,
                          std::size_t count) {
  parallel(count, kElementGrain, context.threads,
           [&](const Range& range) { context.loops.relu_backward(y, dy, dx, range.begin, range.end); });
}

// The engine's op for each description, defined in kernels/cpu/ops/.
#define TRAINER_CPU_OP(Name) \
  std::unique_ptr<Op> make_op(const CpuContext& context, const Name##Desc& desc, int batch, bool wants_dx);
TRAINER_OPS(TRAINER_CPU_OP)
#undef TRAINER_CPU_OP

// The implementations of a convolution, from which conv.cpp chooses.
std::unique_ptr<Op> make_one_channel_conv(const CpuContext& context, const ConvDesc& desc, int batch);
std::unique_ptr<Op> make_few_channels_conv(const CpuContext& context, const ConvDesc& desc, int batch);
std::unique_ptr<Op> make_pooled_conv(const CpuContext& context, const ConvDesc& desc, int batch);
// Converts weight and bias of OpArgs to the layout of our own loops: w [k, k, in, channels] and b [channels],
// zero beyond `out`.
void transpose_filters(const ConvDesc& desc, int channels, const OpArgs& args, float* w, float* b);
// Whether the map between two convolutions, y of `first` and x of `next`, can be stored as bf16 (MapContract::bf16).
// `wants_dx` is that of `first`.
bool has_bf16_map_between(const CpuContext& context, const ConvDesc& first, bool wants_dx,
                          const ConvDesc& next);

// Muon (kernels/math/muon.hpp): the update of one weight matrix, and the bytes of its workspace for the largest
// of `matrices`.
void update_matrix(const CpuContext& context, const UpdateArgs& args, const Optimizer& optimizer,
                   const UpdateStep& step, const WeightMatrix& matrix);
std::size_t muon_workspace_bytes(const std::vector<WeightMatrix>& matrices);

}  // namespace trainer::cpu

// What every op of the CPU engine shares, and how an op is made; the backend owns the context and outlives its ops.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/bump_allocator.hpp"
#include "kernels/cpu/runtime/loops.hpp"
#include "kernels/cpu/runtime/onednn.hpp"

namespace trainer::cpu {

struct CpuContext {
  const Loops& loops;
  OneDnn dnn;
  int threads;
  // Set: convolutions and dense layers round what they multiply. Maps are fp32 all the same, but for one that
  // Backend::keeps_map_in_bf16().
  const Bf16Loops* bf16 = nullptr;
};

// Of what products read.
inline Type input_type(const CpuContext& context) {
  return context.bf16 != nullptr ? Type::bf16 : Type::f32;
}

// The CPU engine stores maps in fp32, or in bf16 where a ConvDesc says so.
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

// Where a max pool notes its argmax positions [n, h, w, c]: only backward reads them, so inference has no place for
// them.
inline std::uint8_t* winners_of(const OpArgs& args) {
  return args.mode == Mode::training ? reinterpret_cast<std::uint8_t*>(args.saved) : nullptr;
}

// The width of the vectors, `widest` lanes at most, that wastes the fewest lanes on `channels`.
constexpr int best_lanes(int channels, int widest) {
  const auto padded = [channels](int lanes) { return (channels + lanes - 1) / lanes * lanes; };
  int best = widest;
  for (int lanes = widest / 2; lanes >= 4; lanes /= 2) {
    if (padded(lanes) < padded(best)) best = lanes;
  }
  return best;
}

// The engine's op for each description, defined in kernels/cpu/ops/.
#define TRAINER_CPU_OP(Name) \
  std::unique_ptr<Op> make_op(const CpuContext& context, const Name##Desc& desc, int batch, bool wants_dx);
TRAINER_OPS(TRAINER_CPU_OP)
#undef TRAINER_CPU_OP

// Convolutions with loops of their own, for which make_op asks first.
bool is_one_channel_conv(const ConvDesc& desc, bool wants_dx);
std::unique_ptr<Op> make_one_channel_conv(const CpuContext& context, const ConvDesc& desc, int batch);
bool is_few_channels_conv(const CpuContext& context, const ConvDesc& desc);
std::unique_ptr<Op> make_few_channels_conv(const CpuContext& context, const ConvDesc& desc, int batch);
std::unique_ptr<Op> make_pooled_conv(const CpuContext& context, const ConvDesc& desc, int batch);
// Whether x can be a bf16 map, of a pooled convolution, and whether y can, of one of one channel (MapContract::bf16).
bool can_read_bf16(const CpuContext& context, const ConvDesc& desc);
bool can_write_bf16(const CpuContext& context, const ConvDesc& desc);
// Throws BackendError where a max pool's windows are too large for the engine.
void require_poolable(const OpDesc& desc, const Window& window);

// The update of a weight that is taken as a matrix, Muon (kernels/math/muon.hpp), and its scratch for the largest
// of `matrices`.
void update_matrix(const CpuContext& context, const UpdateArgs& args, const Optimizer& optimizer,
                   const UpdateStep& step, const WeightMatrix& matrix);
std::size_t muon_workspace_bytes(const std::vector<WeightMatrix>& matrices);

}  // namespace trainer::cpu

// The state that all ops of the CPU engine share, and the functions that make them. The backend owns the
// context and outlives its ops.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/bump_allocator.hpp"
#include "kernels/cpu/runtime/loops.hpp"
#include "kernels/cpu/runtime/onednn.hpp"
#include "kernels/cpu/runtime/stream.hpp"

namespace trainer::cpu {

// Aligned memory that an op owns, zeroed.
class HostBlock {
 public:
  explicit HostBlock(std::size_t bytes = 0)
      : bytes_(bytes), lines_(bytes == 0 ? nullptr : std::make_unique<Line[]>(bytes / sizeof(Line) + 2)) {}
  std::byte* data() const { return lines_ == nullptr ? nullptr : lines_[0].bytes; }
  std::size_t bytes() const { return bytes_; }

 private:
  struct alignas(HostAllocator::aligned(1)) Line {
    std::byte bytes[HostAllocator::aligned(1)];
  };
  std::size_t bytes_;
  std::unique_ptr<Line[]> lines_;
};

// Scratch memory of each thread, for the op whose task it runs.
class Scratch {
 public:
  explicit Scratch(int threads) : blocks_(static_cast<std::size_t>(threads)) {}
  // Makes each thread's large enough for what lay_out(HostAllocator&) takes; while ops are prepared.
  template <typename LayOut>
  void reserve(const LayOut& lay_out) {
    const std::size_t bytes = HostAllocator::bytes(lay_out);
    for (HostBlock& block : blocks_)
      if (block.bytes() < bytes) block = HostBlock(bytes);
  }
  // What lay_out takes of a thread's.
  template <typename LayOut>
  auto of(int worker, const LayOut& lay_out) const {
    HostAllocator memory(blocks_[static_cast<std::size_t>(worker)].data());
    return lay_out(memory);
  }

 private:
  std::vector<HostBlock> blocks_;
};

struct CpuContext {
  const Loops& loops;
  OneDnn dnn;
  Stream& stream;
  Scratch& scratch;
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

// A batch is divided into shards of consecutive rows, always in the same way: 8, or more of at most 64 rows.
constexpr int kShards = 8;
inline int shard_count(int batch) {
  int shards = kShards;
  while (batch > 64 * shards) shards *= 2;
  return shards;
}

struct Shard {
  int index;
  std::size_t begin, end;  // rows of the batch
  int worker;              // the thread, for CpuContext::scratch()
  std::size_t rows() const { return end - begin; }
};
inline Shard shard_of(int batch, int index, int worker) {
  const auto rows = static_cast<std::size_t>(batch);
  const auto shards = static_cast<std::size_t>(shard_count(batch));
  const auto at = static_cast<std::size_t>(index);
  return {index, at * rows / shards, (at + 1) * rows / shards, worker};
}

// Appends body(Shard) for each shard of the batch; Stream::shards() says what it may read.
template <typename Body>
void for_shards(const CpuContext& context, int batch, const Body& body) {
  context.stream.shards(shard_count(batch),
                        [=](int index, int worker) { body(shard_of(batch, index, worker)); });
}

// One array of `floats` for each shard of a batch, which are added up as a tree.
class ShardSums {
 public:
  ShardSums() = default;
  ShardSums(int batch, std::size_t floats)
      : shards_(shard_count(batch)),
        floats_(floats),
        memory_(shards_ * HostAllocator::aligned(floats * sizeof(float))) {}

  std::size_t floats() const { return floats_; }
  float* of(std::size_t shard) const {
    return reinterpret_cast<float*>(memory_.data() + shard * (memory_.bytes() / shards_));
  }
  float* cleared(int shard) const {
    float* sums = of(static_cast<std::size_t>(shard));
    std::fill_n(sums, floats_, 0.0F);
    return sums;
  }
  // Makes the first the sum of all.
  float* add_up(const Loops& loops) const {
    for (std::size_t apart = 1; apart < shards_; apart *= 2) {
      for (std::size_t s = 0; s + apart < shards_; s += 2 * apart)
        loops.add(of(s + apart), of(s), 0, floats_);
    }
    return of(0);
  }

 private:
  std::size_t shards_ = 1, floats_ = 0;
  HostBlock memory_;
};

constexpr std::size_t kElementGrain = 4096;  // elements of a part; a multiple of 64 for dropout

// Parts of `grain` elements of an array of `count`.
inline int parts_of(std::size_t count, std::size_t grain) {
  return static_cast<int>((count + grain - 1) / grain);
}
struct Part {
  std::size_t begin, end;
};
inline Part part_of(std::size_t count, std::size_t grain, std::size_t index) {
  const std::size_t begin = index * grain;
  return {begin, std::min(begin + grain, count)};
}

// Whether row n is one of those that backward covers.
inline bool is_selected(const OpArgs& args, std::size_t n) {
  return args.selected == nullptr || args.selected[n] != 0;
}

// Clears the shard's rows of dx that are not selected, `row_bytes` each; valid ones only if the op before reads them.
inline void clear_rest(const OpArgs& args, const MapContract& x_map, const Shard& shard,
                       std::size_t row_bytes) {
  if (args.selected == nullptr || args.dx == nullptr) return;
  auto* dx = static_cast<std::byte*>(args.dx);
  for (std::size_t n = shard.begin; n < shard.end; ++n) {
    if (args.selected[n] == 0 && (n >= args.state->valid || !x_map.selected_only))
      std::memset(dx + n * row_bytes, 0, row_bytes);
  }
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

// Appends the update of a step: single elements, and matrices by Muon (kernels/math/muon.hpp), whose workspace is that of `matrices`.
void append_update(const CpuContext& context, const UpdateArgs& args);
void append_average(const CpuContext& context, const AverageArgs& args);  // to a step that is closed
std::size_t update_workspace_bytes_of(const std::vector<WeightMatrix>& matrices);

}  // namespace trainer::cpu

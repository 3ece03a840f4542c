// Convolution + bias + ReLU + max pool: which implementation serves a layer, and the one without a pool, which
// uses oneDNN slice by slice: the ReLU in forward and its mask in backward are applied while the slice's map is
// in the cache.
#include <algorithm>
#include <optional>

#include "kernels/cpu/onednn/conv_primitives.hpp"

namespace trainer::cpu {

namespace {

// Backward computes both gradients of a slice from the masked gradient of its map.
class Conv final : public Op {
 public:
  Conv(const CpuContext& context, const ConvDesc& desc, int batch, bool wants_dx)
      : Op(desc, batch),
        context_(context),
        conv_(desc),
        slices_(context, desc, batch, wants_dx ? Directions::all : Directions::forward_and_weights),
        gradient_(slices_.first().gradient_weights()),
        forward_w_(context, canonical_weights(desc), slices_.first().forward_weights()),
        sums_(batch, gradient_floats() + static_cast<std::size_t>(desc.out)) {
    if (wants_dx) data_w_.emplace(context, canonical_weights(desc), slices_.first().data_weights());
    context.scratch.reserve([&](auto& memory) { return lay_out(memory); });
  }

 private:
  // What a thread needs, for both directions.
  struct Layout {
    ConvSlices::Layout slice;
    float* map;       // [slice, h, w, out]: the masked gradient
    std::byte* dmap;  // copy of the gradient that the products read
    float* sums;      // a slice's gradients, like those of a shard
  };
  Layout lay_out(HostAllocator& memory) const {
    const std::size_t map = slices_.first().images() * slices_.map_floats();
    Layout p{};
    p.slice = slices_.lay_out(memory);
    p.map = memory.take<float>(conv_.relu ? map : 0);
    p.dmap = memory.take<std::byte>(operand_bytes(context_, map));
    p.sums = memory.take<float>(sums_.floats());
    return p;
  }
  Layout layout(const Shard& shard) const {
    return context_.scratch.of(shard.worker, [&](auto& memory) { return lay_out(memory); });
  }
  std::size_t gradient_floats() const { return gradient_.get_size() / sizeof(float); }

  void run_forward(const OpArgs& args) override {
    forward_w_.open(args.w);
    for_shards(context_, batch(), [this, args](const Shard& shard) {
      const Layout p = layout(shard);
      slices_.for_each(shard, [&](const ConvPrimitives& slice, std::size_t first) {
        float* y = floats(args.y) + first * slices_.map_floats();
        slice.forward(slices_.x_operand(args.x, slice, first, p.slice.x), forward_w_.of(args.w), args.b, y,
                      p.slice.scratch);
        if (conv_.relu) context_.loops.relu(y, y, 0, slice.images() * slices_.map_floats());
      });
    });
  }

  // The gradient of a slice's map as its products read it.
  const void* map_gradient(const OpArgs& args, const Layout& p, const ConvPrimitives& slice,
                           std::size_t first) const {
    const std::size_t count = slice.images() * slices_.map_floats();
    const float* y = floats(args.y) + first * slices_.map_floats();
    const float* dy = floats(args.dy) + first * slices_.map_floats();
    if (!conv_.relu) return operand(context_, dy, count, p.dmap);
    context_.loops.relu_backward(y, dy, p.map, 0, count);
    return operand(context_, p.map, count, p.dmap);
  }

  void backward(const OpArgs& args, const Shard& shard) const {
    const Layout p = layout(shard);
    float* sums = sums_.cleared(shard.index);
    slices_.for_each(shard, [&](const ConvPrimitives& slice, std::size_t first) {
      const void* dmap = map_gradient(args, p, slice, first);
      const void* x = slices_.x_operand(args.x, slice, first, p.slice.x);
      float* own = first == shard.begin ? sums : p.sums;
      slice.backward_weights(x, dmap, own, own + gradient_floats(), p.slice.scratch);
      if (own != sums) context_.loops.add(own, sums, 0, sums_.floats());
      if (args.dx == nullptr) return;
      slice.backward_data(dmap, data_w_->of(args.w), floats(args.dx) + first * conv_.in.size(),
                          p.slice.scratch);
    });
  }

  void run_backward(const OpArgs& args) override {
    if (args.dx != nullptr) data_w_->open(args.w);
    for_shards(context_, batch(), [this, args](const Shard& shard) { backward(args, shard); });
    context_.stream.closing(1, [this, args](int, int) {
      const float* sums = sums_.add_up(context_.loops);
      context_.dnn.reorder(gradient_, sums, canonical_weights(conv_), args.dw);
      if (conv_.bias) std::copy_n(sums + gradient_floats(), conv_.out, args.db);
    });
  }

  const CpuContext& context_;
  ConvDesc conv_;
  ConvSlices slices_;
  Desc gradient_;  // layout of the weight gradient that oneDNN computes
  ConvertedWeights forward_w_;
  std::optional<ConvertedWeights> data_w_;
  ShardSums sums_;
};

// The implementations of a convolution.
enum class ConvPath {
  one_channel,  // our own loops for a grey image in any precision, with a pool or whole vectors of outputs; no dx
  few_channels,  // forward: our own loops for 8 or 16 channels, fused with the pool; backward: like `pooled`
  pooled,        // forward: oneDNN, slice by slice; backward: our own loops (pooled_conv.cpp)
  plain,         // oneDNN in all directions
};

ConvPath conv_path(const CpuContext& context, const ConvDesc& desc, bool wants_dx) {
  if (desc.in.c == 1 && desc.stride == 1 && !wants_dx && (desc.pool || desc.out % kFewestLanes == 0))
    return ConvPath::one_channel;
  const bool fits_few_channels = desc.in.c > 1 && desc.stride == 1 && desc.pad == Border{} &&
                                 has_conv_pool(desc.in.c, desc.kernel, desc.pool);
  if (context.bf16 == nullptr && fits_few_channels) return ConvPath::few_channels;
  return desc.pool ? ConvPath::pooled : ConvPath::plain;
}

}  // namespace

bool has_bf16_map_between(const CpuContext& context, const ConvDesc& first, bool wants_dx,
                          const ConvDesc& next) {
  if (context.bf16 == nullptr) return false;
  const int lanes = context.bf16->lanes;
  const bool writes = conv_path(context, first, wants_dx) == ConvPath::one_channel && first.relu &&
                      !first.pool && first.out % lanes == 0;
  const bool reads =
      conv_path(context, next, true) == ConvPath::pooled && next.pad == Border{} && next.in.c % lanes == 0;
  return writes && reads;
}

std::unique_ptr<Op> make_op(const CpuContext& context, const ConvDesc& desc, int batch, bool wants_dx) {
  require_poolable(desc, desc.pool, "CPU");
  const ConvPath path = conv_path(context, desc, wants_dx);
  if (path == ConvPath::one_channel) return make_one_channel_conv(context, desc, batch);
  if (path == ConvPath::few_channels) return make_few_channels_conv(context, desc, batch);
  if (path == ConvPath::pooled) return make_pooled_conv(context, desc, batch);
  return std::make_unique<Conv>(context, desc, batch, wants_dx);
}

}  // namespace trainer::cpu

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
  bool reads_selected_rows() const override { return true; }

 private:
  // What a thread needs, for both directions.
  struct Layout {
    ConvSlices::Layout slice;
    float* map;       // [slice, h, w, out]: the masked gradient, or that of selected images
    std::byte* dmap;  // copy of the gradient that the products read
    float* sums;      // a slice's gradients, like those of a shard
    float *x, *dx;    // of selected images, one after the other
  };
  Layout lay_out(HostAllocator& memory) const {
    const std::size_t map = slices_.first().images() * slices_.map_floats();
    Layout p{};
    p.slice = slices_.lay_out(memory);
    p.map = memory.take<float>(map);
    p.dmap = memory.take<std::byte>(operand_bytes(context_, map));
    p.sums = memory.take<float>(sums_.floats());
    p.x = memory.take<float>(slices_.first().images() * conv_.in.size());
    p.dx = memory.take<float>(data_w_ ? slices_.first().images() * conv_.in.size() : 0);
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

  // The gradient of the map of `count` images from n on: dy, or dy masked by the ReLU in `to`.
  const float* map_gradient(const OpArgs& args, std::size_t n, std::size_t count, float* to) const {
    const float* y = floats(args.y) + n * slices_.map_floats();
    const float* dy = floats(args.dy) + n * slices_.map_floats();
    if (!conv_.relu) return dy;
    context_.loops.relu_backward(y, dy, to, 0, count * slices_.map_floats());
    return to;
  }

  // Adds a slice's weight gradients to `sums`, or puts them there if they are the first, and writes its dx unless that is null.
  void multiply(const OpArgs& args, const Layout& p, const ConvPrimitives& slice, const float* map,
                const void* x, bool first, float* sums, float* dx) const {
    const void* dmap = operand(context_, map, slice.images() * slices_.map_floats(), p.dmap);
    float* own = first ? sums : p.sums;
    slice.backward_weights(x, dmap, own, own + gradient_floats(), p.slice.scratch);
    if (!first) context_.loops.add(own, sums, 0, sums_.floats());
    if (dx != nullptr) slice.backward_data(dmap, data_w_->of(args.w), dx, p.slice.scratch);
  }

  void backward(const OpArgs& args, const Shard& shard) const {
    const Layout p = layout(shard);
    float* sums = sums_.cleared(shard.index);
    if (args.selected != nullptr && std::count(args.selected + shard.begin, args.selected + shard.end, 0) > 0)
      return backward_selected(args, shard, p, sums);
    slices_.for_each(shard, [&](const ConvPrimitives& slice, std::size_t n) {
      float* dx = args.dx == nullptr ? nullptr : floats(args.dx) + n * conv_.in.size();
      multiply(args, p, slice, map_gradient(args, n, slice.images(), p.map),
               slices_.x_operand(args.x, slice, n, p.slice.x), n == shard.begin, sums, dx);
    });
  }

  // The selected images are packed into slices; what is left of the last one has images and gradients of zeros.
  void backward_selected(const OpArgs& args, const Shard& shard, const Layout& p, float* sums) const {
    const ConvPrimitives& slice = slices_.first();
    const std::size_t image = conv_.in.size(), map = slices_.map_floats();
    const auto next = [&](std::size_t n) {
      while (n < shard.end && !is_selected(args, n)) ++n;
      return n;
    };
    const std::size_t begin = next(shard.begin);
    for (std::size_t n = begin, first = n; n < shard.end; first = n) {
      std::fill_n(p.x, slice.images() * image, 0.0F);
      std::fill_n(p.map, slice.images() * map, 0.0F);
      for (std::size_t i = 0; i < slice.images() && n < shard.end; ++i, n = next(n + 1)) {
        std::copy_n(floats(args.x) + n * image, image, p.x + i * image);
        const float* gradient = map_gradient(args, n, 1, p.map + i * map);
        if (!conv_.relu) std::copy_n(gradient, map, p.map + i * map);
      }
      multiply(args, p, slice, p.map, slices_.x_operand(p.x, slice, 0, p.slice.x), first == begin, sums,
               args.dx == nullptr ? nullptr : p.dx);
      const float* dx = p.dx;
      for (std::size_t to = first; args.dx != nullptr && to < n; to = next(to + 1), dx += image)
        std::copy_n(dx, image, floats(args.dx) + to * image);
    }
    clear_rest(args, conv_.x_map, shard, image * sizeof(float));
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

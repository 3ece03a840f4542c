// Convolution + bias + ReLU + max pool: which implementation serves a layer, and the one without a pool, which
// uses oneDNN slice by slice: the ReLU in forward and its mask in backward are applied while the slice's map is
// in the cache.
#include <algorithm>

#include "kernels/cpu/onednn/conv_primitives.hpp"

namespace trainer::cpu {

namespace {

// Backward computes both gradients of a slice from the masked gradient of its map; the weight gradients of the
// slices are added up in order.
class Conv final : public ProductOp {
 public:
  Conv(const CpuContext& context, const ConvDesc& desc, int batch, bool wants_dx)
      : ProductOp(context, desc, batch, canonical_weights(desc)),
        conv_(desc),
        slices_(context, desc, batch, wants_dx ? Directions::all : Directions::forward_and_weights),
        gradient_(slices_.first().gradient_weights()) {
    stored_ = context.bf16 == nullptr ? slices_.first().forward_weights() : gradient_;
  }

  std::size_t workspace_bytes() const override {
    return HostAllocator::bytes([&](auto& memory) { lay_out(memory); });
  }

 private:
  // The layout of the workspace, for both directions.
  struct Layout {
    ConvSlices::Layout slice;
    float* map;       // [slice, h, w, out]: the masked gradient
    std::byte* dmap;  // copy of the gradient that the products read
    float *sum, *dw;  // gradient of the weights: the sum so far, and one slice's
    float *bias_sum, *db;
  };

  Layout lay_out(HostAllocator& memory) const {
    const std::size_t map = slices_.first().images() * slices_.map_floats();
    const auto outputs = static_cast<std::size_t>(conv_.out);
    Layout p{};
    p.slice = slices_.lay_out(memory, stored_);
    p.map = memory.take<float>(conv_.relu ? map : 0);
    p.dmap = memory.take<std::byte>(operand_bytes(context_, map));
    for (float** gradient : {&p.sum, &p.dw})
      *gradient = memory.take<float>(gradient_.get_size() / sizeof(float));
    for (float** gradient : {&p.bias_sum, &p.db}) *gradient = memory.take<float>(outputs);
    return p;
  }

  void run_forward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    const Layout p = lay_out(memory);
    const void* w = weights_as(context_, stored_, args.w, slices_.first().forward_weights(), p.slice.w);
    slices_.for_each([&](const ConvPrimitives& slice, std::size_t first) {
      float* y = floats(args.y) + first * slices_.map_floats();
      slice.forward(slices_.x_operand(args.x, slice, first, p.slice.x), w, args.b, y, p.slice.scratch);
      if (conv_.relu) relu(context_, y, slice.images() * slices_.map_floats());
    });
  }

  // The gradient of a slice's map as its products read it.
  const void* map_gradient(const OpArgs& args, const Layout& p, const ConvPrimitives& slice,
                           std::size_t first) const {
    const std::size_t count = slice.images() * slices_.map_floats();
    const float* y = floats(args.y) + first * slices_.map_floats();
    const float* dy = floats(args.dy) + first * slices_.map_floats();
    if (!conv_.relu) return operand(context_, dy, count, p.dmap);
    relu_backward(context_, y, dy, p.map, count);
    return operand(context_, p.map, count, p.dmap);
  }

  void add_gradient(const Layout& p) const {
    parallel(gradient_.get_size() / sizeof(float), kElementGrain, context_.threads,
             [&](const Range& range) { context_.loops.add(p.dw, p.sum, range.begin, range.end); });
    if (conv_.bias) context_.loops.add(p.db, p.bias_sum, 0, static_cast<std::size_t>(conv_.out));
  }

  void run_backward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    const Layout p = lay_out(memory);
    const void* w = args.dx == nullptr
                        ? nullptr
                        : weights_as(context_, stored_, args.w, slices_.first().data_weights(), p.slice.w);
    slices_.for_each([&](const ConvPrimitives& slice, std::size_t first) {
      const void* dmap = map_gradient(args, p, slice, first);
      const void* x = slices_.x_operand(args.x, slice, first, p.slice.x);
      const bool opens = first == 0;
      slice.backward_weights(x, dmap, opens ? p.sum : p.dw, opens ? p.bias_sum : p.db, p.slice.scratch);
      if (!opens) add_gradient(p);
      if (args.dx == nullptr) return;
      slice.backward_data(dmap, w, floats(args.dx) + first * conv_.in.size(), p.slice.scratch);
    });
    context_.dnn.reorder(gradient_, p.sum, stored_, args.dw);
    if (conv_.bias) std::copy_n(p.bias_sum, conv_.out, args.db);
  }

  ConvDesc conv_;
  ConvSlices slices_;
  Desc gradient_;  // layout of the weight gradient that oneDNN computes; with bf16 also `stored_`
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

// Convolution + bias + ReLU, by oneDNN. ReLU is fused forward; backward masks a slice's gradient while it is
// in the cache, then takes both gradients from it. The gradients of the slices' weights are added up in
// order.
#include <algorithm>

#include "kernels/cpu/onednn/conv_primitives.hpp"
#include "kernels/cpu/onednn/operands.hpp"

namespace trainer::cpu {

namespace {

class Conv final : public Op {
 public:
  Conv(const CpuContext& context, const ConvDesc& desc, int batch, bool wants_dx)
      : Op(desc, batch),
        context_(context),
        conv_(desc),
        wants_dx_(wants_dx),
        slices_(context, desc, batch, wants_dx ? Directions::all : Directions::forward_and_weights),
        slice_(slices_.first()),
        stored_(context.bf16 == nullptr ? slice_.forward_weights() : slice_.gradient_weights()),
        map_floats_(out_shape(desc).size()) {}

  std::size_t workspace_bytes() const override {
    return HostAllocator::bytes([&](auto& memory) { lay_out(memory); });
  }
  std::size_t stored_count(int index) const override {
    return index == 0 ? stored_.get_size() / sizeof(float) : Op::stored_count(index);
  }
  void store(int index, const float* canonical, float* stored) const override {
    if (index != 0) return Op::store(index, canonical, stored);
    context_.dnn.reorder(canonical_weights(conv_), canonical, stored_, stored);
  }
  void fetch(int index, const float* stored, float* canonical) const override {
    if (index != 0) return Op::fetch(index, stored, canonical);
    context_.dnn.reorder(stored_, stored, canonical_weights(conv_), canonical);
  }

 private:
  // The pieces of the workspace, in either direction.
  struct Layout {
    std::byte* scratch;
    float* map;               // [slice, h, w, out]: the masked gradient
    std::byte *w, *x, *dmap;  // operands
    float *sum, *dw;          // gradient of the weights so far, and of one slice
    float *bias_sum, *db;
  };

  Layout lay_out(HostAllocator& memory) const {
    const std::size_t gradient = slice_.gradient_weights().get_size() / sizeof(float);
    const std::size_t data = wants_dx_ ? weights_bytes(stored_, slice_.data_weights()) : 0;
    const auto images = static_cast<std::size_t>(slice_.images());
    const auto outputs = static_cast<std::size_t>(conv_.out);
    Layout p{};
    p.scratch = memory.take<std::byte>(slices_.scratch_bytes());
    p.map = memory.take<float>(conv_.relu ? map_floats_ * images : 0);
    p.w = memory.take<std::byte>(std::max(data, weights_bytes(stored_, slice_.forward_weights())));
    p.x = memory.take<std::byte>(operand_bytes(context_, images * conv_.in.size()));
    p.dmap = memory.take<std::byte>(operand_bytes(context_, images * map_floats_));
    p.sum = memory.take<float>(gradient);
    p.dw = memory.take<float>(gradient);
    p.bias_sum = memory.take<float>(outputs);
    p.db = memory.take<float>(outputs);
    return p;
  }

  void run_forward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    const Layout p = lay_out(memory);
    const void* w = weights_as(context_, stored_, args.w, slice_.forward_weights(), p.w);
    slices_.for_each([&](const ConvPrimitives& conv, std::size_t first) {
      float* y = floats(args.y) + first * map_floats_;
      conv.forward(x_operand(args, p, conv, first), w, args.b, y, p.scratch);
      if (!conv_.relu) return;
      parallel(static_cast<std::size_t>(conv.images()) * map_floats_, 4096, context_.threads,
               [&](const Range& range) { context_.loops.relu(y, y, range.begin, range.end); });
    });
  }

  const void* x_operand(const OpArgs& args, const Layout& p, const ConvPrimitives& conv,
                        std::size_t first) const {
    const float* x = floats(args.x) + first * conv_.in.size();
    return operand(context_, x, static_cast<std::size_t>(conv.images()) * conv_.in.size(), p.x);
  }

  // The gradient of the map of one slice: dy itself, or masked in the workspace.
  const float* map_gradient(const OpArgs& args, const Layout& p, std::size_t first, int images) const {
    const float* y = floats(args.y) + first * map_floats_;
    const float* dy = floats(args.dy) + first * map_floats_;
    if (!conv_.relu) return dy;
    parallel(static_cast<std::size_t>(images) * map_floats_, 4096, context_.threads,
             [&](const Range& range) { context_.loops.relu_backward(y, dy, p.map, range.begin, range.end); });
    return p.map;
  }

  void add_gradient(const Layout& p) const {
    const std::size_t count = slice_.gradient_weights().get_size() / sizeof(float);
    parallel(count, 4096, context_.threads,
             [&](const Range& range) { context_.loops.add(p.dw, p.sum, range.begin, range.end); });
    if (conv_.bias) context_.loops.add(p.db, p.bias_sum, 0, static_cast<std::size_t>(conv_.out));
  }

  void run_backward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    const Layout p = lay_out(memory);
    const void* w =
        args.dx == nullptr ? nullptr : weights_as(context_, stored_, args.w, slice_.data_weights(), p.w);
    slices_.for_each([&](const ConvPrimitives& conv, std::size_t first) {
      const float* masked = map_gradient(args, p, first, conv.images());
      const std::size_t outputs = static_cast<std::size_t>(conv.images()) * map_floats_;
      const void* dmap = operand(context_, masked, outputs, p.dmap);
      const void* x = x_operand(args, p, conv, first);
      const bool opens = first == 0;
      conv.backward_weights(x, dmap, opens ? p.sum : p.dw, opens ? p.bias_sum : p.db, p.scratch);
      if (!opens) add_gradient(p);
      if (args.dx == nullptr) return;
      conv.backward_data(dmap, w, floats(args.dx) + first * conv_.in.size(), p.scratch);
    });
    context_.dnn.reorder(slice_.gradient_weights(), p.sum, stored_, args.dw);
    if (conv_.bias) std::copy_n(p.bias_sum, conv_.out, args.db);
  }

  const CpuContext& context_;
  ConvDesc conv_;
  bool wants_dx_;
  ConvSlices slices_;
  const ConvPrimitives& slice_;
  Desc stored_;             // fp32: what forward wants, or with a cast between, what the gradient comes in
  std::size_t map_floats_;  // of one image
};

}  // namespace

std::unique_ptr<Op> make_op(const CpuContext& context, const ConvDesc& desc, int batch, bool wants_dx) {
  require_poolable(desc, desc.pool);
  if (is_one_channel_conv(desc, wants_dx)) return make_one_channel_conv(context, desc, batch);
  if (is_few_channels_conv(context, desc)) return make_few_channels_conv(context, desc, batch);
  if (desc.pool) return make_pooled_conv(context, desc, batch);
  return std::make_unique<Conv>(context, desc, batch, wants_dx);
}

}  // namespace trainer::cpu

// Convolution + bias + ReLU + max pool. Forward convolves by oneDNN, slice by slice: the map between
// convolution and pool is the largest array of the shipped networks, and so it never reaches memory. Backward
// of both together is our own (winner_backward.hpp).
#include <algorithm>

#include "kernels/cpu/onednn/conv_primitives.hpp"
#include "kernels/cpu/onednn/operands.hpp"
#include "kernels/cpu/ops/winner_backward.hpp"

namespace trainer::cpu {

namespace {

class PooledConv final : public Op {
 public:
  PooledConv(const CpuContext& context, const ConvDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        conv_(desc),
        slices_(context, desc, batch, Directions::forward),
        stored_(context.bf16 == nullptr ? slices_.first().forward_weights() : canonical_weights(desc)),
        backward_(context, desc),
        rows_(batch),
        pool_{conv_map(desc), desc.out, desc.pool, out_shape(desc), desc.relu} {}

  std::size_t workspace_bytes() const override {
    return std::max(HostAllocator::bytes([&](auto& memory) { lay_out(memory); }),
                    2 * weight_bytes() + backward_.workspace_bytes());
  }
  std::size_t saved_bytes() const override {
    return static_cast<std::size_t>(batch()) * pool_.out.size();  // argmax positions [n, h, w, c]
  }
  bool reads_selected_rows() const override { return true; }
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
  // Of forward's workspace.
  struct Layout {
    std::byte *scratch, *w, *x;  // w and x: operands
    float* map;                  // [slice, h, w, out]
  };
  Layout lay_out(HostAllocator& memory) const {
    const auto images = static_cast<std::size_t>(slices_.first().images());
    Layout p{};
    p.scratch = memory.take<std::byte>(slices_.scratch_bytes());
    p.w = memory.take<std::byte>(weights_bytes(stored_, slices_.first().forward_weights()));
    p.x = memory.take<std::byte>(conv_.x_map.bf16 ? 0 : operand_bytes(context_, images * conv_.in.size()));
    p.map = memory.take<float>(images * pool_.map.size());
    return p;
  }
  std::size_t weight_bytes() const { return HostAllocator::aligned(canonical_weights(conv_).get_size()); }

  // Images first .. first + images - 1 as the convolution reads them.
  const void* slice_of(const void* x, std::size_t first, std::size_t images, std::byte* copy) const {
    const std::size_t at = first * conv_.in.size();
    if (conv_.x_map.bf16) return halves(x) + at;
    return operand(context_, floats(x) + at, images * conv_.in.size(), copy);
  }

  void run_forward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    const Layout p = lay_out(memory);
    const void* w = weights_as(context_, stored_, args.w, slices_.first().forward_weights(), p.w);
    std::uint8_t* winners = winners_of(args);
    slices_.for_each([&](const ConvPrimitives& conv, std::size_t first) {
      const auto images = static_cast<std::size_t>(conv.images());
      conv.forward(slice_of(args.x, first, images, p.x), w, args.b, p.map, p.scratch);
      parallel(images, 1, context_.threads, [&](const Range& range) {
        const std::size_t at = (first + range.begin) * pool_.out.size();
        context_.loops.maxpool(pool_, p.map + range.begin * pool_.map.size(), floats(args.y) + at,
                               winners == nullptr ? nullptr : winners + at, range.end - range.begin);
      });
    });
  }

  void run_backward(const OpArgs& args) override {
    HostAllocator memory(args.workspace);
    rows_.read(args);
    const Desc canonical = canonical_weights(conv_);
    auto* w = memory.take<std::byte>(weight_bytes());  // both [out, k, k, c]
    auto* dw = reinterpret_cast<float*>(memory.take<std::byte>(weight_bytes()));
    const bool in_place = stored_ == canonical;
    const void* plain = args.dx == nullptr ? nullptr : weights_as(context_, stored_, args.w, canonical, w);
    backward_.run({args.x, static_cast<const float*>(plain), floats(args.dy),
                   reinterpret_cast<const std::uint8_t*>(args.saved), in_place ? args.dw : dw,
                   conv_.bias ? args.db : nullptr, args.dx, memory.take<std::byte>(0), rows_});
    rows_.clear_rest(args, conv_.x_map,
                     conv_.in.size() * (conv_.x_map.bf16 ? sizeof(std::uint16_t) : sizeof(float)));
    if (!in_place) context_.dnn.reorder(canonical, dw, stored_, args.dw);
  }

  const CpuContext& context_;
  ConvDesc conv_;
  ConvSlices slices_;
  Desc stored_;  // fp32: the layout that the forward convolution wants, or with a cast between, the canonical
                 // one
  WinnerBackward backward_;
  SelectedRows rows_;
  PoolLoop pool_;
};

}  // namespace

bool can_read_bf16(const CpuContext& context, const ConvDesc& desc) {
  return context.bf16 != nullptr && desc.pool && desc.pad == Border{} && desc.in.c % context.bf16->lanes == 0;
}

std::unique_ptr<Op> make_pooled_conv(const CpuContext& context, const ConvDesc& desc, int batch) {
  return std::make_unique<PooledConv>(context, desc, batch);
}

}  // namespace trainer::cpu

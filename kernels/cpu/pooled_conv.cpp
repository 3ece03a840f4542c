// Convolution + bias + ReLU + max pool. Forward convolves by oneDNN, slice by slice: the map between
// convolution and pool is the largest array of the shipped networks, and so it never reaches memory. Backward
// of both together is our own (winner_backward.hpp).
#include <algorithm>

#include "kernels/cpu/conv_primitives.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/winner_backward.hpp"

namespace trainer::cpu {

namespace {

class PooledConv final : public Op {
 public:
  PooledConv(const CpuContext& context, const ConvDesc& desc, int batch)
      : Op(desc, batch),
        context_(context),
        conv_(desc),
        slices_(context, desc, batch, Directions::forward),
        stored_(slices_.first().forward_weights()),
        backward_(context, desc, batch),
        pool_{conv_map(desc), desc.out, desc.pool, out_shape(desc), desc.relu} {}

  std::size_t workspace_bytes() const override {
    return std::max(aligned(slices_.scratch_bytes()) + map_bytes(),
                    2 * weight_bytes() + backward_.workspace_bytes());
  }
  std::size_t saved_bytes() const override {
    return static_cast<std::size_t>(batch()) * pool_.out.size();  // winners [n, h, w, c]
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
  std::size_t map_bytes() const {
    return pool_.map.size() * static_cast<std::size_t>(slices_.first().images()) * sizeof(float);
  }
  std::size_t weight_bytes() const { return aligned(canonical_weights(conv_).get_size()); }

  void run_forward(const OpArgs& args) override {
    Carver carver(args.workspace);
    std::byte* scratch = carver.bytes(slices_.scratch_bytes());
    auto* map = reinterpret_cast<float*>(carver.bytes(map_bytes()));  // [slice, h, w, out]
    std::uint8_t* winners = winners_of(args);
    slices_.for_each([&](const ConvPrimitives& conv, std::size_t first) {
      conv.forward(args.x + first * conv_.in.size(), args.w, args.b, map, scratch);
      parallel(static_cast<std::size_t>(conv.images()), 1, context_.threads, [&](const Share& share) {
        const std::size_t at = (first + share.begin) * pool_.out.size();
        context_.loops.maxpool(pool_, map + share.begin * pool_.map.size(), args.y + at,
                               winners == nullptr ? nullptr : winners + at, share.end - share.begin);
      });
    });
  }

  void run_backward(const OpArgs& args) override {
    Carver carver(args.workspace);
    auto* w = reinterpret_cast<float*>(carver.bytes(weight_bytes()));  // both [out, k, k, c]
    auto* dw = reinterpret_cast<float*>(carver.bytes(weight_bytes()));
    if (args.dx != nullptr) context_.dnn.reorder(stored_, args.w, canonical_weights(conv_), w);
    backward_.run({args.x, w, args.dy, reinterpret_cast<const std::uint8_t*>(args.saved), dw,
                   conv_.bias ? args.db : nullptr, args.dx, carver.bytes(0)});
    context_.dnn.reorder(canonical_weights(conv_), dw, stored_, args.dw);
  }

  const CpuContext& context_;
  ConvDesc conv_;
  ConvSlices slices_;
  Desc stored_;  // the layout that the forward convolution wants
  WinnerBackward backward_;
  PoolLoop pool_;
};

}  // namespace

std::unique_ptr<Op> make_pooled_conv(const CpuContext& context, const ConvDesc& desc, int batch) {
  return std::make_unique<PooledConv>(context, desc, batch);
}

}  // namespace trainer::cpu

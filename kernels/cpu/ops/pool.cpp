// Pooling as layers of their own, shard by shard, with the same loops as the fused ones.
#include "kernels/cpu/runtime/context.hpp"

namespace trainer::cpu {

namespace {

class Pool final : public Op {
 public:
  Pool(const CpuContext& context, const OpDesc& desc, const Window& window, int batch)
      : Op(desc, batch),
        context_(context),
        max_(std::holds_alternative<MaxPoolDesc>(desc)),
        loop_{in_shape(desc), in_shape(desc).c, window, out_shape(desc), false} {}

  std::size_t saved_bytes() const override {
    return max_ ? static_cast<std::size_t>(batch()) * loop_.out.size() : 0;  // argmax [n, h, w, c]
  }

 private:
  // Calls body(offset in the maps, offset in the outputs, images) for each shard of the batch.
  template <typename Body>
  void for_images(const Body& body) const {
    for_shards(context_, batch(), [this, body](const Shard& shard) {
      body(shard.begin * loop_.map.size(), shard.begin * loop_.out.size(), shard.rows());
    });
  }

  void run_forward(const OpArgs& args) override {
    const float* x = floats(args.x);
    float* y = floats(args.y);
    for_images([this, args, x, y](std::size_t map, std::size_t out, std::size_t images) {
      max_ ? context_.loops.maxpool(loop_, x + map, y + out, argmax_of(args, out), images)
           : context_.loops.avgpool(loop_, x + map, y + out, images);
    });
  }

  void run_backward(const OpArgs& args) override {
    if (args.dx == nullptr) return;
    const float* dy = floats(args.dy);
    float* dx = floats(args.dx);
    for_images([this, args, dy, dx](std::size_t map, std::size_t out, std::size_t images) {
      max_ ? context_.loops.maxpool_backward(loop_, dy + out, argmax_of(args, out), dx + map, images)
           : context_.loops.avgpool_backward(loop_, dy + out, dx + map, images);
    });
  }

  const CpuContext& context_;
  bool max_;
  PoolLoop loop_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CpuContext& context, const MaxPoolDesc& desc, int batch,
                            bool /*wants_dx*/) {
  require_poolable(desc, desc.window, "CPU");
  return std::make_unique<Pool>(context, desc, desc.window, batch);
}

std::unique_ptr<Op> make_op(const CpuContext& context, const AvgPoolDesc& desc, int batch,
                            bool /*wants_dx*/) {
  return std::make_unique<Pool>(context, desc, desc.window, batch);
}

}  // namespace trainer::cpu

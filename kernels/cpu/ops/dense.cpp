// Dense layer and its ReLU, which is applied after the product in forward, and as a mask before the two products
// in backward. The ReLU is our own loop because oneDNN's turns a NaN into 0, which would hide that training has
// diverged.
#include "kernels/cpu/onednn/dense_products.hpp"

namespace trainer::cpu {

namespace {

class Dense final : public DenseOp {
 public:
  Dense(const CpuContext& context, const DenseDesc& desc, int batch, bool wants_dx)
      : DenseOp(context, desc, desc, batch, wants_dx),
        dense_(desc),
        masks_dy_(desc.relu && !desc.y_map.masked) {}

  std::size_t saved_bytes() const override {  // the masked dy
    return masks_dy_ ? static_cast<std::size_t>(batch()) * out_ * sizeof(float) : 0;
  }

 private:
  void run_forward(const OpArgs& args) override {
    append_forward(args);
    if (!dense_.relu) return;
    for_shards(context_, batch(), [this, args](const Shard& shard) {
      context_.loops.relu(floats(args.y), floats(args.y), shard.begin * out_, shard.end * out_);
    });
  }

  void run_backward(const OpArgs& args) override {
    const float* dy = floats(args.dy);
    if (masks_dy_) {
      auto* masked = reinterpret_cast<float*>(args.saved);
      for_shards(context_, batch(), [this, args, masked](const Shard& shard) {
        context_.loops.relu_backward(floats(args.y), floats(args.dy), masked, shard.begin * out_,
                                     shard.end * out_);
      });
      dy = masked;
    }
    append_backward(args, dy);
    if (!reads_selected_rows() || args.dx == nullptr) return;
    for_shards(context_, batch(), [this, args](const Shard& shard) {
      clear_rest(args, dense_.x_map, shard, in_ * sizeof(float));
    });
  }

  DenseDesc dense_;
  bool masks_dy_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CpuContext& context, const DenseDesc& desc, int batch, bool wants_dx) {
  return std::make_unique<Dense>(context, desc, batch, wants_dx);
}

}  // namespace trainer::cpu

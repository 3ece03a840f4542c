// Convolutions, dense layers and the head: the order of their kernels.
#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

ConvShape conv_shape(const ConvDesc& desc) {
  const Border& pad = desc.pad;
  const Shape bordered{desc.in.h + pad.top + pad.bottom, desc.in.w + pad.left + pad.right, desc.in.c};
  return {bordered, out_shape(desc), desc.kernel, desc.stride, desc.pool ? desc.pool : Window{1, 1}};
}

class Conv final : public PortableOp {
 public:
  Conv(Executor& executor, const ConvDesc& desc, int batch)
      : PortableOp(executor, desc, batch), conv_(desc), shape_(conv_shape(desc)) {}

  std::size_t saved_bytes() const override { return rows() * shape_.out.size(); }  // argmax

 private:
  bool has_border() const { return conv_.pad != Border{}; }
  int weights() const { return conv_.out * shape_.taps(); }
  const float* input(const OpArgs& args) const {
    if (!has_border()) return floats(args.x);
    float* x = scratch(args, x_);
    executor_.run(Move{batch(), floats(args.x), conv_.in, x, shape_.in, conv_.pad.top, conv_.pad.left});
    return x;
  }

  void run_forward(const OpArgs& args) override {
    float* w = scratch(args, w_);
    executor_.run(Transpose{conv_.out, shape_.taps(), args.w, w});
    const Tile tile = executor_.tile(conv_.out, shape_.window.size > 2 ? 1 : 3);
    executor_.run(ConvForward{shape_, batch(), tile, conv_.relu, input(args), w, args.b, floats(args.y),
                              args.mode == Mode::training ? argmax_of(args) : nullptr});
  }

  void run_backward(const OpArgs& args) override {
    const Rows rows = rows_of(args);
    const float* g = floats(args.dy);
    const std::uint8_t* argmax = argmax_of(args);
    if (args.db != nullptr) {
      const Tile tile = executor_.tile(conv_.out, 1);
      executor_.run(SumPositions{batch(), shape_.out, tile, g, scratch(args, sums_), nullptr, argmax});
      executor_.run(SumImages{rows, conv_.out, tile, scratch(args, sums_), args.db});
    }
    float* partial = scratch(args, partial_);
    const Tile taps = executor_.tile(shape_.row_taps());
    const bool unrolled = taps.lanes > 1 && (conv_.kernel == 3 || conv_.kernel == 5);
    executor_.run(ConvWeights{shape_, rows, taps, unrolled ? conv_.kernel : 1,
                              Divider(static_cast<std::uint32_t>(groups_)), input(args), g, argmax, partial});
    const Rows groups = groups_ == kShards ? Rows{kShards} : rows;
    executor_.run(SumImages{groups, weights(), executor_.tile(weights(), 1), partial, args.dw});
    if (args.dx == nullptr) return;
    float* dx = has_border() ? scratch(args, dx_) : floats(args.dx);
    executor_.run(ConvInput{shape_, rows, taps, taps.lanes == 1, args.w, g, argmax, dx});
    if (has_border())
      executor_.run(Move{batch(), dx, shape_.in, floats(args.dx), conv_.in, -conv_.pad.top, -conv_.pad.left});
  }

  ConvDesc conv_;
  ConvShape shape_;
  // Parts of the workspace: x and dx with their border [batch, in], filters side by side [taps, out.c], [batch, out.c], and
  // [groups, out.c, taps].
  std::size_t x_ = reserve(has_border() ? rows() * shape_.in.size() : 0);
  std::size_t dx_ = reserve(has_border() ? rows() * shape_.in.size() : 0);
  std::size_t w_ = reserve(weights()), sums_ = reserve(rows() * conv_.out);
  // The units of a few weights do not fill a GPU, which then sums each image by itself.
  int groups_ = executor_.in_turn(kShards) == 1 && weights() <= 1024 ? batch() : kShards;
  std::size_t partial_ = reserve(static_cast<std::size_t>(groups_) * weights());
};

// What a dense layer and the head share: y = alpha (x w^T + b), then ReLU.
class DenseProduct : public PortableOp {
 protected:
  DenseProduct(Executor& executor, const OpDesc& desc, int in, int out, int batch)
      : PortableOp(executor, desc, batch), in_(in), out_(out) {}

  void run_product(const OpArgs& args, float alpha, bool relu) {
    float* w = scratch(args, w_);
    executor_.run(Transpose{out_, in_, args.w, w});
    executor_.run(Product{.rows = {batch()},
                          .inner = in_,
                          .columns = out_,
                          .a = floats(args.x),
                          .b = w,
                          .y = floats(args.y),
                          .tile = executor_.tile(out_),
                          .alpha = alpha,
                          .bias = args.b,
                          .relu = relu});
  }

  // From the gradient g of x w^T; dx is zero where x is not above 0, if `masks_dx`.
  void run_gradients(const OpArgs& args, const float* g, bool masks_dx) {
    const Rows rows = rows_of(args);
    const Tile tile = executor_.tile(in_);
    executor_.run(DenseWeights{rows, in_, out_, floats(args.x), g, args.dw, tile});
    if (args.db != nullptr) executor_.run(SumImages{rows, out_, executor_.tile(out_, 1), g, args.db});
    if (args.dx == nullptr) return;
    executor_.run(Product{.rows = rows,
                          .inner = out_,
                          .columns = in_,
                          .a = g,
                          .b = args.w,
                          .y = floats(args.dx),
                          .tile = tile,
                          .masks = masks_dx ? floats(args.x) : nullptr});
  }

 private:
  int in_, out_;
  std::size_t w_ = reserve(static_cast<std::size_t>(in_) * out_);  // w^T in the workspace
};

class Dense final : public DenseProduct {
 public:
  Dense(Executor& executor, const DenseDesc& desc, int batch)
      : DenseProduct(executor, desc, desc.in, desc.out, batch), dense_(desc) {}

 private:
  void run_forward(const OpArgs& args) override { run_product(args, 1, dense_.relu); }
  void run_backward(const OpArgs& args) override {
    const float* g = floats(args.dy);
    if (dense_.relu && !dense_.y_map.masked) {
      float* masked = scratch(args, g_);
      executor_.run(
          Pointwise{.batch = batch(), .size = dense_.out, .x = floats(args.y), .dy = g, .to = masked});
      g = masked;
    }
    run_gradients(args, g, dense_.x_map.masked);
  }

  DenseDesc dense_;
  std::size_t g_ = reserve(rows() * dense_.out);  // dy where y is above 0
};

class Head final : public DenseProduct {
 public:
  Head(Executor& executor, const HeadDesc& desc, int batch)
      : DenseProduct(executor, desc, desc.in, desc.classes, batch), head_(desc) {}

  std::size_t saved_bytes() const override {  // the gradient of the product
    return (rows() * head_.classes + kMostLanes) * sizeof(float);
  }

 private:
  static float* gradient(const OpArgs& args) { return reinterpret_cast<float*>(args.saved); }

  void run_forward(const OpArgs& args) override {
    run_product(args, head_.logit_scale, false);
    const bool training = args.mode == Mode::training;
    auto* all = reinterpret_cast<RowLoss*>(scratch(args, losses_));
    RowLoss* losses = all + executor_.part.first;
    executor_.run(HeadLoss{head_, batch(), args.steps, args.state, args.labels, floats(args.y),
                           training ? gradient(args) : nullptr, losses});
    executor_.run(HeadSums{rows_of(nullptr, args.state), losses, args.state});
    if (!training || !head_.selection.selects()) return;
    executor_.communicate([this, all] { gather_rows(executor_.part, all, sizeof(RowLoss)); });
    executor_.run(HeadSelect{head_, batch(), args.steps, args.state, all, args.selected, gradient(args)});
  }
  void run_backward(const OpArgs& args) override { run_gradients(args, gradient(args), head_.x_map.masked); }

  HeadDesc head_;
  std::size_t losses_ =
      reserve((static_cast<std::size_t>(executor_.part.batch) + rows()) * sizeof(RowLoss) / sizeof(float));
};

}  // namespace

std::unique_ptr<Op> make(Executor& executor, const ConvDesc& desc, int batch) {
  require_byte(desc, desc.pool);
  return std::make_unique<Conv>(executor, desc, batch);
}
std::unique_ptr<Op> make(Executor& executor, const DenseDesc& desc, int batch) {
  return std::make_unique<Dense>(executor, desc, batch);
}
std::unique_ptr<Op> make(Executor& executor, const HeadDesc& desc, int batch) {
  return std::make_unique<Head>(executor, desc, batch);
}

}  // namespace trainer::portable

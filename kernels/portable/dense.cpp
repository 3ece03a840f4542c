// Dense layers and the head: the order of their kernels.
#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

// What both share: y = alpha (x w^T + b), then ReLU.
class DenseProduct : public PortableOp {
 protected:
  DenseProduct(Executor& executor, const OpDesc& desc, int in, int out, int batch)
      : PortableOp(executor, desc, batch),
        in_(in),
        out_(out),
        padded_(padded(out, executor.lanes(out))),
        w_(reserve(static_cast<std::size_t>(in) * static_cast<std::size_t>(padded_))) {}

  void run_product(const OpArgs& args, float alpha, bool relu) {
    executor_.run(Transpose{args.w, out_, in_, scratch(args, w_), padded_});
    executor_.run(Product{.rows = all_rows(),
                          .inner = in_,
                          .columns = out_,
                          .a = floats(args.x),
                          .b = scratch(args, w_),
                          .ldb = padded_,
                          .y = floats(args.y),
                          .tile = executor_.tile(out_),
                          .alpha = alpha,
                          .bias = args.b,
                          .relu = relu});
  }

  // From the gradient g of x w^T; dx is zero where x is not above 0, if `masks_dx`.
  void run_gradients(const OpArgs& args, const float* g, bool masks_dx) {
    const Rows rows = rows_of(args);
    executor_.run(DenseWeights{rows, in_, out_, floats(args.x), g, args.dw, executor_.tile(in_)});
    if (args.db != nullptr) executor_.run(SumImages{rows, out_, g, args.db, executor_.lanes(out_)});
    if (args.dx == nullptr) return;
    executor_.run(Product{.rows = rows,
                          .inner = out_,
                          .columns = in_,
                          .a = g,
                          .b = args.w,
                          .ldb = in_,
                          .y = floats(args.dx),
                          .tile = executor_.tile(in_),
                          .masks = masks_dx ? floats(args.x) : nullptr});
  }

 private:
  int in_, out_, padded_;
  std::size_t w_;  // w^T in the workspace, its columns padded to whole lanes
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
          Activation{.batch = batch(), .size = dense_.out, .x = floats(args.y), .dy = g, .to = masked});
      g = masked;
    }
    run_gradients(args, g, dense_.x_map.masked);
  }

  DenseDesc dense_;
  std::size_t g_ = reserve(rows() * static_cast<std::size_t>(dense_.out));  // dy where y is above 0
};

class Head final : public DenseProduct {
 public:
  Head(Executor& executor, const HeadDesc& desc, int batch)
      : DenseProduct(executor, desc, desc.in, desc.classes, batch), head_(desc) {}

  std::size_t saved_bytes() const override {  // the gradient of the product
    return (rows() * static_cast<std::size_t>(head_.classes) + kMostLanes) * sizeof(float);
  }

 private:
  static float* gradient(const OpArgs& args) { return reinterpret_cast<float*>(args.saved); }

  void run_forward(const OpArgs& args) override {
    run_product(args, head_.logit_scale, false);
    const bool training = args.mode == Mode::training;
    auto* losses = reinterpret_cast<RowLoss*>(scratch(args, losses_));
    executor_.run(HeadLoss{.batch = batch(),
                           .classes = head_.classes,
                           .logit_scale = head_.logit_scale,
                           .label_smoothing = head_.label_smoothing,
                           .selection = head_.selection,
                           .steps = args.steps,
                           .state = args.state,
                           .labels = args.labels,
                           .logits = floats(args.y),
                           .g = training ? gradient(args) : nullptr,
                           .losses = losses});
    executor_.run(HeadSums{{.batch = batch(), .state = args.state}, losses, args.state});
    if (!training || !head_.selection.selects()) return;
    executor_.run(HeadSelect{batch(), head_.classes, head_.selection, args.steps, args.state, losses,
                             args.selected, gradient(args)});
  }
  void run_backward(const OpArgs& args) override { run_gradients(args, gradient(args), head_.x_map.masked); }

  HeadDesc head_;
  std::size_t losses_ = reserve(rows() * sizeof(RowLoss) / sizeof(float));
};

}  // namespace

std::unique_ptr<Op> make(Executor& executor, const DenseDesc& desc, int batch) {
  return std::make_unique<Dense>(executor, desc, batch);
}

std::unique_ptr<Op> make(Executor& executor, const HeadDesc& desc, int batch) {
  return std::make_unique<Head>(executor, desc, batch);
}

}  // namespace trainer::portable

// Dense layers and the head: the order of their kernels.
#include "kernels/portable/portable_op.hpp"

namespace trainer::portable {

namespace {

// y = alpha (x w^T + b), then ReLU: what a dense layer and the head share.
class DenseProduct {
 public:
  DenseProduct(Executor& executor, int in, int out)
      : executor_(executor), in_(in), out_(out), lanes_(executor.lanes(out)) {}

  struct Layout {
    float* w;  // w^T, its columns padded to whole lanes
  };
  Layout lay_out(Memory& memory) const {
    return {memory.take<float>(static_cast<std::size_t>(in_) *
                               static_cast<std::size_t>(padded(out_, kMostLanes)))};
  }

  void forward(const OpArgs& args, const Layout& p, const Rows& all, float alpha, bool relu) const {
    const int width = padded(out_, lanes_);
    executor_.run(Transpose{args.w, out_, in_, p.w, width});
    executor_.run(Product{.rows = all,
                          .inner_count = in_,
                          .columns = out_,
                          .a = floats(args.x),
                          .b = p.w,
                          .ldb = width,
                          .y = floats(args.y),
                          .alpha = alpha,
                          .bias = args.b,
                          .relu = relu,
                          .lanes = lanes_});
  }

  // From the gradient g of x w^T; dx is zero where x is not above 0, if `masks_dx`.
  void backward(const OpArgs& args, const Rows& rows, const float* g, bool masks_dx) const {
    const int lanes = executor_.lanes(in_);
    executor_.run(DenseWeights{rows, in_, out_, floats(args.x), g, args.dw, lanes});
    if (args.db != nullptr) executor_.run(SumImages{rows, out_, g, args.db, lanes_});
    if (args.dx == nullptr) return;
    executor_.run(Product{.rows = rows,
                          .inner_count = out_,
                          .columns = in_,
                          .a = g,
                          .b = args.w,
                          .ldb = in_,
                          .y = floats(args.dx),
                          .masks = masks_dx ? floats(args.x) : nullptr,
                          .lanes = lanes});
  }

 private:
  Executor& executor_;
  int in_, out_, lanes_;
};

class Dense final : public PortableOp {
 public:
  Dense(Executor& executor, const DenseDesc& desc, int batch)
      : PortableOp(executor, desc, batch), dense_(desc), product_(executor, desc.in, desc.out) {}

  std::size_t workspace_bytes() const override {
    return Memory::bytes([&](auto& memory) { lay_out(memory); });
  }

 private:
  struct Layout {
    DenseProduct::Layout product;
    float* g;  // [batch, out]
    RowMemory rows;
  };
  Layout lay_out(Memory& memory) const {
    Layout p{};
    p.product = product_.lay_out(memory);
    p.g = memory.take<float>(rows() * static_cast<std::size_t>(dense_.out) + kMostLanes);
    p.rows = row_memory(memory);
    return p;
  }

  void run_forward(const OpArgs& args) override {
    Memory memory(args.workspace);
    product_.forward(args, lay_out(memory).product, all_rows(), 1, dense_.relu);
  }
  void run_backward(const OpArgs& args) override {
    Memory memory(args.workspace);
    const Layout p = lay_out(memory);
    const Rows rows = rows_of(args, p.rows);
    const float* g = floats(args.dy);
    if (dense_.relu && !dense_.y_map.masked) {
      executor_.run(Activation{.count = count32(this->rows() * static_cast<std::size_t>(dense_.out)),
                               .x = floats(args.y),
                               .dy = g,
                               .to = p.g});
      g = p.g;
    }
    product_.backward(args, rows, g, dense_.x_map.masked);
  }

  DenseDesc dense_;
  DenseProduct product_;
};

class Head final : public PortableOp {
 public:
  Head(Executor& executor, const HeadDesc& desc, int batch)
      : PortableOp(executor, desc, batch), head_(desc), product_(executor, desc.in, desc.classes) {}

  std::size_t saved_bytes() const override {  // the gradient of the product
    return (rows() * static_cast<std::size_t>(head_.classes) + kMostLanes) * sizeof(float);
  }
  std::size_t workspace_bytes() const override {
    return Memory::bytes([&](auto& memory) { lay_out(memory); });
  }

 private:
  struct Layout {
    DenseProduct::Layout product;
    RowLoss* losses;  // [batch]
    RowMemory rows;
  };
  Layout lay_out(Memory& memory) const {
    Layout p{};
    p.product = product_.lay_out(memory);
    p.losses = memory.take<RowLoss>(rows());
    p.rows = row_memory(memory);
    return p;
  }
  static float* gradient(const OpArgs& args) { return reinterpret_cast<float*>(args.saved); }

  void run_forward(const OpArgs& args) override {
    Memory memory(args.workspace);
    const Layout p = lay_out(memory);
    product_.forward(args, p.product, all_rows(), head_.logit_scale, false);
    const bool training = args.mode == Mode::training;
    executor_.run(HeadLoss{.batch = count32(rows()),
                           .classes = head_.classes,
                           .logit_scale = head_.logit_scale,
                           .label_smoothing = head_.label_smoothing,
                           .selection = head_.selection,
                           .steps = args.steps,
                           .state = args.state,
                           .labels = args.labels,
                           .logits = floats(args.y),
                           .g = training ? gradient(args) : nullptr,
                           .rows = p.losses});
    executor_.run(HeadSums{count32(rows()), p.losses, args.state});
    if (!training || !head_.selection.selects()) return;
    executor_.run(HeadSelect{count32(rows()), head_.classes, head_.selection, args.steps, args.state,
                             p.losses, args.selected, gradient(args)});
  }
  void run_backward(const OpArgs& args) override {
    Memory memory(args.workspace);
    product_.backward(args, rows_of(args, lay_out(memory).rows), gradient(args), head_.x_map.masked);
  }

  HeadDesc head_;
  DenseProduct product_;
};

}  // namespace

std::unique_ptr<Op> make_dense(Executor& executor, const DenseDesc& desc, int batch) {
  return std::make_unique<Dense>(executor, desc, batch);
}

std::unique_ptr<Op> make_head(Executor& executor, const HeadDesc& desc, int batch) {
  return std::make_unique<Head>(executor, desc, batch);
}

}  // namespace trainer::portable

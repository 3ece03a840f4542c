// Dense layers: the library's three products, and kernels of our own for bias and ReLU, because the library's ReLU may turn
// NaN into 0, which would hide a network that diverges.
//   forward   y = relu(x w^T + b)
//   backward  dz = dy where y > 0;  dw = dz^T x,  db = sum dz,  dx = dz w
// If the head after the layer has masked dy already, the product for dw also gives db. The library takes weights of the
// maps' element type; their gradient is fp32.
#include "kernels/bump_allocator.hpp"
#include "kernels/cuda/context.hpp"
#include "kernels/cuda/ops/pool.hpp"

namespace trainer::cuda {

namespace {

class Dense final : public Op {
 public:
  Dense(const CudaContext& context, const DenseDesc& desc, int batch, bool wants_dx)
      : Op(desc, batch),
        context_(context),
        dense_(desc),
        rows_(static_cast<unsigned>(batch)),
        outputs_(static_cast<unsigned>(desc.out)),
        masks_dy_(desc.relu && !desc.y_map.masked),
        product_(context.products->make({.batch = batch,
                                         .in = desc.in,
                                         .out = desc.out,
                                         .sums_dy = desc.bias && !masks_dy_,
                                         .wants_dx = wants_dx,
                                         .precision = context.precision})) {}

  std::size_t workspace_bytes() const override {
    return DeviceAllocator::bytes([&](auto& memory) { lay_out(memory); });
  }

 private:
  std::size_t gradient_bytes() const {
    return masks_dy_ ? element_bytes(context_.element) * rows_ * outputs_ : 0;
  }
  const void* weights(const OpArgs& args) const {
    return context_.element == Element::fp32 ? args.w : args.cast_w;
  }

  struct Layout {
    void* dz;
    float* partial;  // partial sums of the bias gradient
    std::byte* library;
  };
  Layout lay_out(DeviceAllocator& memory) const {
    auto* dz = memory.take<std::byte>(gradient_bytes());
    auto* partial = memory.take<float>(db_partial_bytes(outputs_) / sizeof(float));
    return {dz, partial, memory.take<std::byte>(product_->workspace_bytes())};
  }
  Layout layout(const OpArgs& args) const {
    DeviceAllocator memory(args.workspace);
    return lay_out(memory);
  }

  void run_forward(const OpArgs& args) override {
    product_->forward(args.x, weights(args), args.y, layout(args).library);
    if (args.b == nullptr && !dense_.relu) return;
    launch_bias_relu(context_, args.b, dense_.relu, args.y, rows_, outputs_);
  }

  void run_backward(const OpArgs& args) override {
    const Layout own = layout(args);
    const void* dz = args.dy;
    if (masks_dy_) {
      launch_bias_relu_backward(context_, rows_, outputs_,
                                {args.dy, args.y, true, nullptr, own.dz, args.db, own.partial});
      dz = own.dz;
    }
    product_->backward_weights(args.x, dz, args.dw, masks_dy_ ? nullptr : args.db, own.library);
    if (args.dx != nullptr) product_->backward_data(dz, weights(args), args.dx, own.library);
  }

  const CudaContext& context_;
  DenseDesc dense_;
  unsigned rows_, outputs_;
  bool masks_dy_;
  std::unique_ptr<Product> product_;
};

}  // namespace

std::unique_ptr<Op> make_op(const CudaContext& context, const DenseDesc& desc, int batch, bool wants_dx) {
  if (auto ours = make_small_product(context, desc, batch)) return ours;
  return std::make_unique<Dense>(context, desc, batch, wants_dx);
}

}  // namespace trainer::cuda
